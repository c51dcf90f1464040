ffzero_add_test(golden_cnn SOURCES cnn_layer_test.cpp cnn_model_test.cpp DEPENDS map_conv head loss update LABELS golden)
