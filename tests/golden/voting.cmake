ffzero_add_test(golden_voting SOURCES voting_test.cpp DEPENDS vote LABELS golden)
