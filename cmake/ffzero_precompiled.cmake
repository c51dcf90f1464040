# The headers of others that most files include, compiled once for the libraries and once for the tests. Off by
# default (docs/design.md). Files still include what they use: builds without it and all_verify_interface_header_sets see to that.
# SPDX-License-Identifier: MIT
set(source ${PROJECT_BINARY_DIR}/precompiled.cpp)
file(CONFIGURE OUTPUT ${source} CONTENT "// Nothing but the precompiled headers.\n")

set(library_headers
    <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <exception> <filesystem> <fstream> <functional> <limits> <map> <memory>
    <numbers> <numeric> <optional> <set> <span> <sstream> <string> <string_view> <system_error> <thread> <utility> <vector>
    <Eigen/Core> <nlohmann/json.hpp>)

add_library(ffzero_precompiled_library OBJECT ${source})
set_target_properties(ffzero_precompiled_library PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(ffzero_precompiled_library PRIVATE ffzero_options Eigen3::Eigen nlohmann_json::nlohmann_json)
target_precompile_headers(ffzero_precompiled_library PRIVATE ${library_headers})
# A time in the file would keep a compiler cache from ever finding what includes it.
set(no_timestamp $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
target_compile_options(ffzero_precompiled_library PRIVATE ${no_timestamp})

if(FFZERO_BUILD_TESTS)
  add_library(ffzero_precompiled_test OBJECT ${source})
  target_link_libraries(ffzero_precompiled_test PRIVATE ffzero_options ffzero_cold Eigen3::Eigen nlohmann_json::nlohmann_json GTest::gmock GTest::gtest)
  target_compile_options(ffzero_precompiled_test PRIVATE ${no_timestamp})
  target_precompile_headers(ffzero_precompiled_test PRIVATE ${library_headers} <gmock/gmock.h> <gtest/gtest.h>)
endif()
