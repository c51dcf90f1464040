# The interferometer mesh: evaluation, directional pair, pullback.
ffzero_add_bench(mesh SOURCES mesh_bench.cpp DEPENDS map_mesh)
