# Language level, warnings, sanitizers and compiler cache: one interface target that every target of ours links privately.
add_library(ffzero_options INTERFACE)
target_compile_features(ffzero_options INTERFACE cxx_std_20)
# -ffp-contract=off: results are the same bits whether or not the compiler may fuse multiplications and additions.
target_compile_options(ffzero_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<BOOL:${FFZERO_WERROR}>:-Werror>
                                                -ffp-contract=off)
# g++ 12 sees overlapping copies in std::string's own operator+ (its bug 105651, mended in 13), and copies that are too long where <string>
# is precompiled.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(ffzero_options INTERFACE -Wno-restrict "$<$<BOOL:${FFZERO_PRECOMPILE}>:-Wno-array-bounds;-Wno-stringop-overflow>")
endif()
if(FFZERO_SANITIZE)
  if(FFZERO_SANITIZE MATCHES "thread" AND FFZERO_SANITIZE MATCHES "address")
    message(FATAL_ERROR "FFZERO_SANITIZE: thread and address exclude each other; got ${FFZERO_SANITIZE}; use the presets asan and tsan")
  endif()
  target_compile_options(ffzero_options INTERFACE -fsanitize=${FFZERO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # The size of an object is what the address sanitizer watches anyway; checked twice it costs a fifth of the time to compile.
  if(FFZERO_SANITIZE MATCHES "undefined")
    target_compile_options(ffzero_options INTERFACE -fno-sanitize=object-size)
  endif()
  # g++ 12 under the thread sanitizer takes the memory that Eigen frees before it allocates anew for one that is used after.
  if(FFZERO_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(ffzero_options INTERFACE -Wno-use-after-free)
  endif()
  target_link_options(ffzero_options INTERFACE -fsanitize=${FFZERO_SANITIZE})
endif()
if(FFZERO_COVERAGE)
  target_compile_options(ffzero_options INTERFACE --coverage)
  target_link_options(ffzero_options INTERFACE --coverage)
endif()

# Vector kernels are compiled once per processor target. Those that differ from their neighbours in nothing that is used here are left out.
if(FFZERO_FEW_KERNELS)
  target_compile_definitions(ffzero_options INTERFACE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3|HWY_AVX3_DL)")
else()
  target_compile_definitions(ffzero_options INTERFACE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL)")
endif()

# Code that runs once (texts, settings, pages, tests) is not worth -O3: half the time to compile, and nobody waits for it.
add_library(ffzero_cold INTERFACE)
target_compile_options(ffzero_cold INTERFACE $<$<CONFIG:Release>:-O1>)

# The sloppiness is what ccache asks for before it caches a file that includes a precompiled header.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
