ffzero_add_test(golden_preprocessing SOURCES preprocessing_test.cpp DEPENDS dataset encode LABELS golden)
