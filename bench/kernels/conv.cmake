# Convolution with batch norm: forward, both sides of a difference with the projection fused, exact gradient; pooling.
find_package(benchmark REQUIRED)
add_executable(bench_conv ${CMAKE_CURRENT_LIST_DIR}/conv_bench.cpp)
target_link_libraries(bench_conv PRIVATE ffzero_map_conv ffzero_options benchmark::benchmark)
