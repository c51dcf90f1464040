ffzero_add_bench(sparse SOURCES sparse_bench.cpp DEPENDS head)
