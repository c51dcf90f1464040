# Default settings on small tables beside scikit-learn, in a fast form: two tables, three seeds. Skipped where scikit-learn is not installed;
# not there under sanitizers, which make it many times as slow and see these paths in other tests.
find_program(FFZERO_PYTHON_WITH_SKLEARN NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH DOC "the Python of the distribution, which may have scikit-learn")
if(FFZERO_PYTHON_WITH_SKLEARN AND NOT FFZERO_SANITIZE)
  add_test(NAME Tables.LearnAsWellAsScikitLearn
           COMMAND ${FFZERO_PYTHON_WITH_SKLEARN} ${PROJECT_SOURCE_DIR}/tools/tables.py measure ${CMAKE_CURRENT_BINARY_DIR}/tables wine iris
                   --binary $<TARGET_FILE:ffzero_app> --seeds 3 --solvers default,ff_ad --check)
  set_tests_properties(Tables.LearnAsWellAsScikitLearn PROPERTIES LABELS "e2e;slow" SKIP_RETURN_CODE 77 TIMEOUT 600)
endif()
