#!/usr/bin/env bash
# tools/tidy.sh [file.cpp ...]: clang-tidy-16 with the flags of the preset tidy on these files (default: all that the build knows), side by
# side and without compiling. Building the preset tidy gives the same findings, slower. Fails if there is one.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/tidy
cmake --preset tidy >build/tidy/configure.log 2>&1 || { cat build/tidy/configure.log >&2; exit 1; }

files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(grep -oE '"file": "[^"]+"' build/tidy/compile_commands.json | cut -d '"' -f 4 | grep -v '/build/' | sort -u)
fi
log=build/tidy/findings.log
status=0
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy-16 --quiet -p build/tidy >$log 2>build/tidy/noise.log || status=1
# A header's finding shows once for every file that includes it.
grep -E '(warning|error):' $log | sort -u || true
if [ $status -ne 0 ]; then echo "tidy.sh: findings; whole log: $log" >&2; exit 1; fi
echo "${#files[@]} files, no finding"
