#!/usr/bin/env bash
# tools/coverage.sh [ctest arguments]: builds the preset coverage, runs the tests, prints executed lines of src and apps file by file and
# in all, and writes build/coverage/coverage.html.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v gcovr >/dev/null; then echo "coverage.sh: needs gcovr (apt-get install gcovr)" >&2; exit 1; fi
cmake --preset coverage >/dev/null
cmake --build --preset coverage --parallel "$(nproc)"
find build/coverage -name '*.gcda' -delete
ctest --preset coverage --parallel "$(nproc)" "$@" >build/coverage/ctest.log || { tail -n 60 build/coverage/ctest.log; exit 1; }
gcovr --root . --filter 'src/' --filter 'apps/' --exclude-throw-branches --print-summary --html build/coverage/coverage.html \
      --txt - build/coverage
