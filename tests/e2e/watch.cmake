# ffzero watch, where it was built; where it was not, what it says instead.
set(without "")
if(NOT HTTPLIB_FOUND)
  set(without --without)
endif()
add_test(NAME Watch.ServesARun COMMAND ${FFZERO_PYTHON_FOLDER}/python3 ${CMAKE_CURRENT_SOURCE_DIR}/watch_test.py $<TARGET_FILE:ffzero_app> ${without})
set_tests_properties(Watch.ServesARun PROPERTIES LABELS "e2e;fast" TIMEOUT 300)

# What readers do with the curves of a report and of ffzero watch, in headless Chromium where there is one.
add_test(NAME Curves.AnswerMouseFingerAndKeyboard
         COMMAND ${FFZERO_PYTHON_FOLDER}/python3 ${CMAKE_CURRENT_SOURCE_DIR}/curves_test.py $<TARGET_FILE:ffzero_app> ${without})
set_tests_properties(Curves.AnswerMouseFingerAndKeyboard PROPERTIES LABELS "e2e;fast" SKIP_RETURN_CODE 77 TIMEOUT 300)
