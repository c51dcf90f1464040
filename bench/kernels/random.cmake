# Random numbers and directions.
ffzero_add_bench(random SOURCES random_bench.cpp DEPENDS gradient)
