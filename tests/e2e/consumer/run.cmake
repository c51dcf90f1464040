# Installs the build folder BUILD into a prefix of its own below it, then configures, builds and runs the project SOURCE against it.
# FLAGS: the sanitizers that the libraries were built with, which their users must link too. COVERAGE: likewise.
set(prefix ${BUILD}/consumer/prefix)
set(folder ${BUILD}/consumer/build)
set(link_flags "")
if(FLAGS)
  string(APPEND link_flags "-fsanitize=${FLAGS}")
endif()
if(COVERAGE)
  string(APPEND link_flags " --coverage")
endif()
file(REMOVE_RECURSE ${BUILD}/consumer)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE words ERROR_VARIABLE words)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${result}:\n${words}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix} --component development)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${folder} -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${prefix} "-DCMAKE_CXX_FLAGS=${link_flags}")
run(${CMAKE_COMMAND} --build ${folder})
run(${folder}/consumer)
