# The interferometer mesh: evaluation, directional pair, pullback.
find_package(benchmark REQUIRED)
add_executable(bench_mesh ${CMAKE_CURRENT_LIST_DIR}/mesh_bench.cpp)
target_link_libraries(bench_mesh PRIVATE ffzero_map_mesh ffzero_options benchmark::benchmark)
