# cmake -DCOMMAND="compiler;flags;source" -DEXPECT=<regex> -P run.cmake: the source must compile as it is and must not with
# FFZERO_MUST_NOT_COMPILE defined; then the compiler's words must match EXPECT, so that it fails for the reason that is meant.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE result ERROR_VARIABLE words)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "must compile without FFZERO_MUST_NOT_COMPILE, but:\n${words}")
endif()
execute_process(COMMAND ${COMMAND} -DFFZERO_MUST_NOT_COMPILE RESULT_VARIABLE result ERROR_VARIABLE words)
if(result EQUAL 0)
  message(FATAL_ERROR "must not compile with FFZERO_MUST_NOT_COMPILE, but does")
endif()
if(NOT words MATCHES "${EXPECT}")
  message(FATAL_ERROR "fails to compile for another reason than '${EXPECT}':\n${words}")
endif()
