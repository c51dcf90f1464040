# The program as people use it: every test runs the binary as a process of its own.
# An address of a device is for one host at a time.
set(lock_device LOCK device_address)
foreach(part data device errors export robust runs)
  set(sources_data cli_data_test.cpp)
  set(sources_device cli_device_test.cpp cli_replicas_test.cpp)
  set(sources_errors cli_errors_test.cpp cli_folder_test.cpp cli_usage_test.cpp)
  set(sources_export cli_export_test.cpp)
  set(sources_robust cli_robust_test.cpp)
  set(sources_runs cli_cells_test.cpp cli_commands_test.cpp cli_old_runs_test.cpp cli_resume_test.cpp cli_plugins_test.cpp cli_study_test.cpp cli_threads_test.cpp)
  ffzero_add_test(cli_${part} SOURCES ${sources_${part}} DEPENDS report LABELS e2e slow ${lock_${part}})
  target_compile_definitions(test_cli_${part} PRIVATE FFZERO_PROGRAM="$<TARGET_FILE:ffzero_app>")
  add_dependencies(test_cli_${part} ffzero_app)
endforeach()
target_link_libraries(test_cli_device PRIVATE util)
# A plugin that works, one of another version, and a shared object that is none.
foreach(kind nameless version_99)
  add_library(plugin_${kind} MODULE EXCLUDE_FROM_ALL plugins/wrong.cpp)
  target_compile_definitions(test_cli_runs PRIVATE FFZERO_PLUGIN_${kind}="$<TARGET_FILE:plugin_${kind}>")
  add_dependencies(test_cli_runs plugin_${kind})
endforeach()
target_compile_definitions(plugin_version_99 PRIVATE FFZERO_WRONG_INTERFACE=99)
if(FFZERO_BUILD_EXAMPLES)
  target_compile_definitions(test_cli_runs PRIVATE FFZERO_PLUGIN_sign_rule="$<TARGET_FILE:example_sign_rule>")
  add_dependencies(test_cli_runs example_sign_rule)
endif()
# What is exported is compiled as C.
target_compile_definitions(test_cli_export PRIVATE FFZERO_COMPILER="${CMAKE_CXX_COMPILER}")

# What is written as ONNX is read by OpenCV. The distribution's Python has it, not one that stands before it in PATH.
find_program(FFZERO_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH DOC "The Python that sees python3-opencv")
target_compile_definitions(test_cli_export PRIVATE FFZERO_SYSTEM_PYTHON="$<IF:$<BOOL:${FFZERO_SYSTEM_PYTHON}>,${FFZERO_SYSTEM_PYTHON},python3>"
                                                   FFZERO_READ_ONNX="${CMAKE_CURRENT_LIST_DIR}/read_onnx.py" $<$<TARGET_EXISTS:ffzero_onnx>:FFZERO_WITH_ONNX>)

if(TARGET ffzero_onnx)
  target_link_libraries(test_cli_export PRIVATE ffzero_onnx)
endif()

# The manual is what the program says about itself.
foreach(page "config;keys;--markdown" "cli;manual")
  list(POP_FRONT page name)
  add_test(NAME Manual.${name}IsUpToDate COMMAND ${CMAKE_COMMAND} "-DCOMMAND=$<TARGET_FILE:ffzero_app>;${page}" -DPAGE=${PROJECT_SOURCE_DIR}/docs/${name}.md
                                                 -P ${CMAKE_CURRENT_SOURCE_DIR}/manual/same_page.cmake)
  set_tests_properties(Manual.${name}IsUpToDate PROPERTIES LABELS "e2e;fast")
endforeach()
