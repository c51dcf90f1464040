# shellcheck shell=bash
# Sourced by demo.sh and test.sh in the project's root: configures and builds build/release, quietly when there is nothing to do.
# SPDX-License-Identifier: MIT
# build_release with|without <arguments of the build>: with the tests; without them unless build/release has them already (the demo of a bare
# machine installs no test framework).
build_release() {
  local log tests=
  if [ "$1" = with ]; then tests=-DFFZERO_BUILD_TESTS=ON; elif [ ! -e build/release/CMakeCache.txt ]; then tests=-DFFZERO_BUILD_TESTS=OFF; fi
  shift
  log=$(mktemp)
  # shellcheck disable=SC2086  # several arguments in one variable
  if ! cmake --preset release $tests ${FFZERO_CMAKE_ARGS:-} >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "configuring build/release failed; a build folder of another machine or compiler? Remove build/release and try again" >&2
    return 1
  fi
  rm -f "$log"
  echo "Building build/release with $(nproc) jobs (the first time takes minutes) ..."
  cmake --build --preset release --parallel "$(nproc)" "$@"
}
