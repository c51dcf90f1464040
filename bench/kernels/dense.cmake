# Dense layers: products, steps of the estimators, losses, Adam.
ffzero_add_bench(dense SOURCES dense_bench.cpp DEPENDS objective update)
