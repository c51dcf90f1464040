# A slice of studies/any_data.toml and studies/any_data_photonic.toml: a seed that is in neither, every solver above its stated level. Not
# under sanitizers, which make it many times as slow and see these paths in other tests.
if(NOT FFZERO_SANITIZE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME AnyData.SliceIsAboveItsLevels COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/any_data.py slice
                                                      ${CMAKE_CURRENT_BINARY_DIR}/any_data --binary $<TARGET_FILE:ffzero_app>)
  set_tests_properties(AnyData.SliceIsAboveItsLevels PROPERTIES LABELS e2e TIMEOUT 600)
endif()
