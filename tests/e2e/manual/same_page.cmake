# Fails unless the standard output of COMMAND is the content of PAGE.
execute_process(COMMAND ${COMMAND} OUTPUT_VARIABLE said RESULT_VARIABLE code)
file(READ ${PAGE} written)
if(NOT code EQUAL 0 OR NOT said STREQUAL written)
  list(JOIN COMMAND " " line)
  message(FATAL_ERROR "${PAGE} is out of date; write it anew: ${line} > ${PAGE}")
endif()
