#!/usr/bin/env bash
# From a bare machine to a trained network: installs what is missing, builds, and trains a network without backpropagation on the
# built-in glyphs; the report lands in runs/demo. The second time it only shows the finished run: seconds, no network.
#   ./demo.sh            ./demo.sh --again    trains once more, into a new folder        further arguments go to `ffzero train`
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")"

again=no
if [ "${1:-}" = --again ]; then
  again=yes
  shift
fi

tools/install_deps.sh
. tools/build_release.sh
build_release --target ffzero_app
ffzero=build/release/ffzero

# A finished run of this very program and these settings is shown, not repeated; nothing is ever overwritten.
run=runs/demo
number=1
while [ -e "$run" ]; do
  if [ $again = no ] && [ $# -eq 0 ] && [ -e "$run/summary.json" ] && [ "$run/summary.json" -nt $ffzero ]; then break; fi
  number=$((number + 1))
  run=runs/demo-$number
done

if [ -e "$run" ]; then
  echo "$run is finished; ./demo.sh --again trains once more."
else
  echo
  echo "Training on the built-in glyphs: $ffzero train --out $run $*"
  $ffzero train --out "$run" "$@"
fi

if [ ! -e "$run/report.html" ]; then $ffzero report "$run"; fi
echo
$ffzero inspect "$run"
echo
echo "The run:     $run   (config.toml, metrics.jsonl, summary.json, checkpoint.npz, log.txt, figures/)"
echo "The report:  $run/report.html"
echo "Next:        $ffzero train --help    and docs/tour.md"
