# ffzero::ffzero (all stages at once), the umbrella header <ffzero/ffzero.hpp>, and what `cmake --install` puts where.
include(CMakePackageConfigHelpers)
get_property(stages GLOBAL PROPERTY FFZERO_STAGES)
get_property(headers GLOBAL PROPERTY FFZERO_HEADERS)

# The umbrella header is written from the list of public headers, so that it can neither miss one nor name one that is gone.
set(umbrella "// Everything that the library offers, in the order of the data flow. Written by cmake/ffzero_install.cmake.\n")
string(APPEND umbrella "// SPDX-License-Identifier: MIT\n#pragma once\n\n")
foreach(header ${headers})
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/src ${header})
  string(APPEND umbrella "#include \"${name}\"  // IWYU pragma: export\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/ffzero/ffzero.hpp CONTENT "${umbrella}" @ONLY)

add_library(ffzero_all INTERFACE)
add_library(ffzero::ffzero ALIAS ffzero_all)
target_link_libraries(ffzero_all INTERFACE ${stages})
target_sources(ffzero_all INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_BINARY_DIR}/include
                                              FILES ${PROJECT_BINARY_DIR}/include/ffzero/ffzero.hpp)
set_target_properties(ffzero_all PROPERTIES EXPORT_NAME ffzero)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ffzero)
if(BUILD_SHARED_LIBS)
  include(ffzero_shared)
else()
  install(TARGETS ${stages} ffzero_all EXPORT ffzeroTargets COMPONENT development
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
          FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
endif()
install(EXPORT ffzeroTargets NAMESPACE ffzero:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(cmake/ffzeroConfig.cmake.in ffzeroConfig.cmake INSTALL_DESTINATION ${package_dir})
# Below 1.0 a minor version may change the interface.
write_basic_package_version_file(ffzeroConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ffzeroConfig.cmake ${PROJECT_BINARY_DIR}/ffzeroConfigVersion.cmake cmake/ffzero_dependencies.cmake
        DESTINATION ${package_dir} COMPONENT development)

# For builds that do not use CMake: ffzero.pc. The libraries in the order of the linker, users before what they use. The others stand beside
# them by name and not in "Requires": with pkg-config's --static those would ask for the static libraries that they need in turn.
if(BUILD_SHARED_LIBS)
  set(pc_requires "eigen3 fmt nlohmann_json")
  set(pc_libraries "-lffzero -pthread")
else()
  set(pc_requires "eigen3 fmt nlohmann_json tomlplusplus")
  list(REVERSE stages)
  list(TRANSFORM stages PREPEND -l OUTPUT_VARIABLE pc_libraries)
  list(APPEND pc_libraries -lpng -lz -ldeflate -lcrypto)
  if(FFZERO_FETCH)
    list(APPEND pc_libraries -lcurl)
  endif()
  list(APPEND pc_libraries -lopenblas -lhwy -pthread)
  list(JOIN pc_libraries " " pc_libraries)
endif()
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc /prefix/${pc_dir} /prefix)
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/ffzero.pc.in ffzero.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ffzero.pc DESTINATION ${pc_dir} COMPONENT development)

# The licence, where Debian looks for it.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libffzero-dev RENAME copyright COMPONENT development)
if(FFZERO_APP)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ffzero RENAME copyright COMPONENT program)
endif()
