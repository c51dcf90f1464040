ffzero_add_test(golden_head_loss SOURCES head_loss_test.cpp DEPENDS head loss update vote metric LABELS golden)
