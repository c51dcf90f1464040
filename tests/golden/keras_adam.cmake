ffzero_add_test(golden_keras_adam SOURCES keras_adam_test.cpp DEPENDS update LABELS golden)
