# One run on several processes, where it was built for them.
if(FFZERO_MPI)
  ffzero_add_test(cli_ranks SOURCES cli_ranks_test.cpp DEPENDS report LABELS e2e slow)
  target_compile_definitions(test_cli_ranks PRIVATE FFZERO_PROGRAM="$<TARGET_FILE:ffzero_app>")
  add_dependencies(test_cli_ranks ffzero_app)
else()
  add_test(NAME CliRanks.AreSkippedWithoutMpi COMMAND sh -c "echo 'skipped: built without FFZERO_MPI'; exit 77")
  set_tests_properties(CliRanks.AreSkippedWithoutMpi PROPERTIES LABELS "e2e;fast" SKIP_RETURN_CODE 77)
  add_test(NAME CliRanks.AreRefusedByAProgramWithoutMpi COMMAND ffzero_app train)
  set_tests_properties(CliRanks.AreRefusedByAProgramWithoutMpi PROPERTIES LABELS "e2e;fast" ENVIRONMENT OMPI_COMM_WORLD_SIZE=3
                       PASS_REGULAR_EXPRESSION "^ffzero: mpirun: .*got 3 processes of one that was not; build with -DFFZERO_MPI=ON")
endif()
