# ffzero_add_stage(<folder> SOURCES a.cpp ... DEPENDS base tensor ... [LINK lib ...]): one static library per folder.
function(ffzero_add_stage name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK;PRIVATE_LINK" ${ARGN})
  add_library(ffzero_${name} STATIC ${ARG_SOURCES})
  target_include_directories(ffzero_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
  list(TRANSFORM ARG_DEPENDS PREPEND ffzero_)
  target_link_libraries(ffzero_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:ffzero_options> ${ARG_PRIVATE_LINK})
  target_compile_features(ffzero_${name} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY FFZERO_STAGES ffzero_${name})
endfunction()

# ffzero_add_test(<name> SOURCES ... DEPENDS stage ... LABELS fast): one GoogleTest executable.
function(ffzero_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS;LINK" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND ffzero_)
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} ffzero_options ffzero_test_support GTest::gmock GTest::gtest GTest::gtest_main)
  gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${ARG_LABELS}")
endfunction()
