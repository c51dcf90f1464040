ffzero_add_test(golden_blocks SOURCES ${CMAKE_CURRENT_LIST_DIR}/mlp_block_test.cpp ${CMAKE_CURRENT_LIST_DIR}/cnn_block_test.cpp
                                      ${CMAKE_CURRENT_LIST_DIR}/photonic_block_test.cpp
                DEPENDS objective update map_conv map_mesh LABELS golden)
