ffzero_add_test(golden_data_crops SOURCES data_crops_test.cpp DEPENDS dataset encode LABELS golden)
