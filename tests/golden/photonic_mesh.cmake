ffzero_add_test(golden_photonic_mesh SOURCES ${CMAKE_CURRENT_LIST_DIR}/photonic_mesh_test.cpp DEPENDS map_mesh LABELS golden)
