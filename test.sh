#!/usr/bin/env bash
# Installs what is missing, builds the release preset and runs every test; the second time takes seconds and needs no network.
#   ./test.sh                    all tests                  ./test.sh -L fast      arguments go to ctest: here, only the fast ones
# FFZERO_DATA_DIR=<folder>: also the tests that need MNIST and Fashion-MNIST (<folder>/mnist/...); without it they are skipped.
# FFZERO_CMAKE_ARGS: further arguments of the configuration, such as -DFFZERO_WERROR=ON.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")"

tools/install_deps.sh --test
# The Python package is tested where its packages can be had.
if tools/install_deps.sh --package; then
  FFZERO_CMAKE_ARGS="${FFZERO_CMAKE_ARGS:-} -DFFZERO_PYTHON=ON"
else
  echo "The tests of the Python package are skipped: what it needs could not be installed."
fi
# So is ffzero watch.
tools/install_deps.sh --watch || echo "The tests of ffzero watch are skipped: libcpp-httplib-dev could not be installed."
# One run on several processes is tested where an MPI is installed: tools/install_deps.sh --mpi.
if command -v mpirun >/dev/null && command -v mpicxx >/dev/null; then
  FFZERO_CMAKE_ARGS="${FFZERO_CMAKE_ARGS:-} -DFFZERO_MPI=ON"
else
  echo "The tests of several ranks are skipped: no MPI is installed (tools/install_deps.sh --mpi)."
  FFZERO_CMAKE_ARGS="${FFZERO_CMAKE_ARGS:-} -DFFZERO_MPI=OFF"
fi
. tools/build_release.sh
build_release with
if [ -z "${FFZERO_DATA_DIR:-}" ]; then
  echo "FFZERO_DATA_DIR is not set: tests on MNIST and Fashion-MNIST are skipped (ffzero datasets fetch mnist gets the files)."
fi
ctest --preset release --parallel "$(nproc)" "$@"
