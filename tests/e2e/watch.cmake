# ffzero watch, where it was built; where it was not, what it says instead.
set(without "")
if(NOT HTTPLIB_FOUND)
  set(without --without)
endif()
add_test(NAME Watch.ServesARun COMMAND ${FFZERO_PYTHON_FOLDER}/python3 ${CMAKE_CURRENT_SOURCE_DIR}/watch_test.py $<TARGET_FILE:ffzero_app> ${without})
set_tests_properties(Watch.ServesARun PROPERTIES LABELS "e2e;fast" TIMEOUT 300)
