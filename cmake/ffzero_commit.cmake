# Writes FILE, which names the commit that SOURCE is a clone of, if it says something else so far. Run at every build: it takes milliseconds.
# Empty without git, in an unpacked archive, and where SOURCE is only a folder of another project's repository.
set(commit "")
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-toplevel RESULT_VARIABLE failed OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET)
file(REAL_PATH ${SOURCE} source)
if(failed EQUAL 0 AND top STREQUAL source)
  execute_process(COMMAND git -C ${SOURCE} describe --always "--exclude=*" --abbrev=12 "--dirty=, modified" OUTPUT_VARIABLE commit
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(text "// Written by cmake/ffzero_commit.cmake.\n#include \"commit.hpp\"\n\nnamespace ffzero::app {\nconst char* commit() { return \"${commit}\"; }\n}  // namespace ffzero::app\n")
set(before "")
if(EXISTS ${FILE})
  file(READ ${FILE} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${FILE} "${text}")
endif()
