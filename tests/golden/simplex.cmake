ffzero_add_test(golden_simplex SOURCES simplex_test.cpp DEPENDS head LABELS golden)
