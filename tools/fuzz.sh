#!/usr/bin/env bash
# tools/fuzz.sh [build folder] [seconds] [target ...]: runs the libFuzzer programs of a build with FFZERO_BUILD_FUZZ (preset fuzz), each
# for so many seconds from its corpus. New inputs stay in <build>/fuzz/found/<target>; a crash fails the run and names the file: put it into
# fuzz/corpus/<target>/ with the fix, and ctest replays it for ever. FFZERO_FUZZ_TIMEOUT: seconds of an input that count as a hang (default 10;
# more where other programs take the processor).
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/fuzz}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))

programs=("${@/#/$build/fuzz/fuzz_}")
if [ ${#programs[@]} -eq 0 ]; then programs=("$build"/fuzz/fuzz_*); fi
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1
ran=0
for program in "${programs[@]}"; do
  if [ ! -x "$program" ]; then continue; fi
  target=${program##*/fuzz_}
  found=$build/fuzz/found/$target
  mkdir -p "$found"
  log=$build/fuzz/$target.log
  if ! "$program" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout="${FFZERO_FUZZ_TIMEOUT:-10}" -print_final_stats=1 -artifact_prefix="$found/crash-" \
       "$found" "fuzz/corpus/$target" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    echo "fuzz.sh: $target failed; input: $(find "$found" -name 'crash-*' | head -n 1); log: $log" >&2
    exit 1
  fi
  echo "$target: $(grep -oE 'number_of_executed_units: *[0-9]+' "$log" | grep -oE '[0-9]+') inputs in $seconds s, no finding"
  ran=$((ran + 1))
done
if [ $ran -eq 0 ]; then echo "fuzz.sh: no fuzz_* program in $build/fuzz; build the preset fuzz first" >&2; exit 1; fi
