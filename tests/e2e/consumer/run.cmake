# Installs the build folder BUILD into a prefix of its own below it, then configures, builds and runs the project SOURCE against it,
# and compiles a program of it by PKG_CONFIG (empty: there is none). PROGRAM: whether the command line was built.
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

# A shared library (BUILD_SHARED_LIBS) comes alone, under the name that programs look for.
file(GLOB_RECURSE shared ${prefix}/libffzero.so)
if(shared)
  get_filename_component(library_folder ${shared} DIRECTORY)
  file(GLOB archives ${library_folder}/*.a)
  if(archives OR NOT EXISTS ${library_folder}/libffzero.so.0.1)
    message(FATAL_ERROR "beside ${shared}: ${archives}, or no libffzero.so.0.1")
  endif()
  string(APPEND link_flags " -Wl,-rpath,${library_folder}")
endif()

if(PKG_CONFIG)
  file(GLOB_RECURSE pc ${prefix}/ffzero.pc)
  get_filename_component(pc_folder ${pc} DIRECTORY)
  set(ENV{PKG_CONFIG_PATH} ${pc_folder})
  execute_process(COMMAND ${PKG_CONFIG} --cflags --libs --static ffzero OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags} ${link_flags}")
  run(${COMPILER} -std=c++20 ${SOURCE}/by_pkg_config.cpp -o ${folder}/by_pkg_config ${flags})
  run(${folder}/by_pkg_config ${SOURCE}/study.toml ${BUILD}/consumer/study)
endif()

# The program brings what it says about itself.
if(PROGRAM)
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix} --component program)
  foreach(file bin/ffzero share/man/man1/ffzero.1 share/man/man5/ffzero-settings.5 share/bash-completion/completions/ffzero
               share/zsh/site-functions/_ffzero share/doc/ffzero/copyright share/doc/libffzero-dev/copyright)
    file(SIZE ${prefix}/${file} size)
    if(size EQUAL 0)
      message(FATAL_ERROR "${file} is empty")
    endif()
  endforeach()
endif()
