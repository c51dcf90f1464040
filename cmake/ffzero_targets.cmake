# How a folder and a test become targets.

# ffzero_add_stage(<name> SOURCES a.cpp ... DEPENDS base tensor ... [LINK lib ...] [PRIVATE_LINK lib ...])
# One static library for one folder of src/ffzero: target ffzero_<name>, installed as ffzero::<name>. The folder's *.hpp are its public
# headers (a file set: installed, and compiled one by one by the target all_verify_interface_header_sets); *-inl.hpp stay private.
function(ffzero_add_stage name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK;PRIVATE_LINK" ${ARGN})
  file(GLOB headers CONFIGURE_DEPENDS *.hpp)
  list(FILTER headers EXCLUDE REGEX "-inl\\.hpp$")
  add_library(ffzero_${name} STATIC ${ARG_SOURCES})
  add_library(ffzero::${name} ALIAS ffzero_${name})
  target_sources(ffzero_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${headers})
  list(TRANSFORM ARG_DEPENDS PREPEND ffzero_)
  target_link_libraries(ffzero_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:ffzero_options> ${ARG_PRIVATE_LINK})
  target_compile_features(ffzero_${name} PUBLIC cxx_std_20)
  set_target_properties(ffzero_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON VERIFY_INTERFACE_HEADER_SETS ON)
  ffzero_compile_together(ffzero_${name} ${ARG_SOURCES})
  ffzero_precompile(ffzero_${name} library)
  set_property(GLOBAL APPEND PROPERTY FFZERO_STAGES ffzero_${name})
  set_property(GLOBAL APPEND PROPERTY FFZERO_HEADERS ${headers})
  set_property(GLOBAL APPEND PROPERTY FFZERO_PUBLIC_LINKS ${ARG_LINK})
endfunction()

# ffzero_compile_together(<target> <sources>): the files of a folder in batches: most of a small file's time goes into the headers of others, and
# templates of others (JSON, products of Eigen) are instantiated once for a batch. Files that highway compiles once for each kind of
# processor read themselves again and stay alone. In these, checks of pointers for null multiply the time to compile by four (all is inlined into
# one function per processor), and find nothing that the address sanitizer does not: the pointers come from spans.
function(ffzero_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${FFZERO_UNITY} UNITY_BUILD_BATCH_SIZE ${FFZERO_BATCH})
  foreach(source ${ARGN})
    file(STRINGS ${source} per_processor LIMIT_COUNT 1 REGEX "foreach_target")
    if(per_processor)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
      if(FFZERO_SANITIZE MATCHES "undefined")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=null,pointer-overflow")
      endif()
    endif()
  endforeach()
endfunction()

# ffzero_precompile(<target> <library | test>): the target's files begin with the precompiled headers of that kind, see ffzero_precompiled.cmake.
function(ffzero_precompile target kind)
  if(FFZERO_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ffzero_precompiled_${kind})
  endif()
endfunction()

# ffzero_add_test(<name> SOURCES ... DEPENDS stage ... [LINK lib ...] LABELS fast ... [LOCK name]): one GoogleTest executable, test_<name>.
# Tests with the same LOCK never run side by side.
function(ffzero_add_test name)
  cmake_parse_arguments(ARG "" "LOCK" "SOURCES;DEPENDS;LABELS;LINK" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND ffzero_)
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} ffzero_options ffzero_cold ffzero_test_support GTest::gmock GTest::gtest GTest::gtest_main)
  ffzero_compile_together(test_${name} ${ARG_SOURCES})
  ffzero_precompile(test_${name} test)
  list(JOIN ARG_LABELS "\\;" labels)
  set(lock "")
  if(ARG_LOCK)
    set(lock RESOURCE_LOCK ${ARG_LOCK})
  endif()
  # The labels last: CMake takes them apart on the way, and whatever followed would be read as their values.
  gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 PROPERTIES ${lock} ENVIRONMENT_MODIFICATION
                       "PATH=path_list_prepend:${FFZERO_PYTHON_FOLDER}" LABELS "${labels}")
endfunction()
