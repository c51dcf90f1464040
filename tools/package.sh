#!/usr/bin/env bash
# Builds build/packages/ffzero_*.deb (the program) and libffzero-dev_*.deb (headers, static libraries) from build/release, and looks at them
# with lintian where it is installed (apt-get install lintian). Install them with: sudo apt install ./build/packages/ffzero_*.deb
# FFZERO_CMAKE_ARGS: arguments of the configuration, such as -DFFZERO_MPI=OFF.
# SOURCE_DATE_EPOCH: the date in the packages (default: that of the commit).
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_deps.sh
if [ -z "${SOURCE_DATE_EPOCH:-}" ] && SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null); then export SOURCE_DATE_EPOCH; fi
. tools/build_release.sh
build_release without --target ffzero_app
rm -rf build/packages
cpack --preset deb
rm -rf build/packages/_CPack_Packages
if command -v lintian >/dev/null; then lintian --fail-on warning,error build/packages/*.deb; fi
ls -l build/packages/*.deb
