# The host's side of a device on a wire, against a device in C that only echoes.
enable_language(C)
add_executable(bench_device_echo ${CMAKE_CURRENT_LIST_DIR}/echo.c)
set_target_properties(bench_device_echo PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
add_executable(bench_device ${CMAKE_CURRENT_LIST_DIR}/device_bench.cpp)
target_link_libraries(bench_device PRIVATE ffzero_device ffzero_options benchmark::benchmark)
target_compile_definitions(bench_device PRIVATE FFZERO_ECHO="$<TARGET_FILE:bench_device_echo>" FFZERO_PROGRAM="$<TARGET_FILE:ffzero_app>")
add_dependencies(bench_device bench_device_echo ffzero_app)
