#!/usr/bin/env bash
# From a bare machine to a trained network: installs what is missing, builds, trains a network without backpropagation on the built-in
# glyphs, and then the four cells (local losses or one for the network, forward evaluations or exact gradients) beside each other. The second
# time it only shows what is finished: seconds, no network.
#   ./demo.sh            ./demo.sh --again    trains once more, into new folders        further arguments go to `ffzero train`
#   ./demo.sh python     builds the Python package, trains the digits and a device that is a Python function
#   ./demo.sh device     trains a layer that a Python program computes, as a bench of instruments would (examples/devices/bench.py)
#   ./demo.sh mpi        trains one run on two processes (MPI) and on one, and compares the checkpoints (docs/scaling.md)
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")"

again=no
if [ "${1:-}" = --again ]; then
  again=yes
  shift
fi

. tools/build_release.sh
if [ "${1:-}" = python ]; then
  tools/install_deps.sh --package
  FFZERO_CMAKE_ARGS="${FFZERO_CMAKE_ARGS:-} -DFFZERO_PYTHON=ON"
  build_release without --target ffzero_python
  echo
  echo "PYTHONPATH=build/release/python /usr/bin/python3 python/examples/first_contact.py"
  PYTHONPATH=build/release/python /usr/bin/python3 python/examples/first_contact.py
  echo
  echo "Next:        docs/python.md; \`pip install .\` in a virtual environment installs the package"
  exit
fi

case "${1:-}" in
  device) tools/install_deps.sh --python ;;
  mpi)
    tools/install_deps.sh --python --mpi
    FFZERO_CMAKE_ARGS="${FFZERO_CMAKE_ARGS:-} -DFFZERO_MPI=ON"
    ;;
  *) tools/install_deps.sh ;;
esac
build_release without --target ffzero_app
ffzero=build/release/ffzero

# What this very program finished is shown, not repeated; nothing is ever overwritten. Prints <base>, <base>-2, ..: the first folder that is free
# or holds a finished <marker>; with "no" as third argument only a free one.
folder_for() {
  local folder=$1 number=1
  while [ -e "$folder" ]; do
    if [ "$3" = yes ] && [ -e "$folder/$2" ] && [ "$folder/$2" -nt $ffzero ]; then break; fi
    number=$((number + 1))
    folder=$1-$number
  done
  echo "$folder"
}

if [ "${1:-}" = device ]; then
  bench="exec:python3 examples/devices/bench.py"
  run=$(folder_for runs/demo-device summary.json yes)
  if [ ! -e "$run" ]; then
    echo
    echo "Training through a device: $ffzero train --device \"$bench\" --dataset glyphs --set dataset.downsample=7 --epochs 1 --out $run"
    $ffzero train --device "$bench" --dataset glyphs --set dataset.downsample=7 --epochs 1 --out "$run"
  fi
  echo
  $ffzero inspect "$run"
  echo
  python3 - "$run/summary.json" <<'END'
import json, sys
for device in json.load(open(sys.argv[1]))["devices"]:
    print("{name}: {readings} readings, {writes} writes of parameters, {failures} failures, {seconds:.1f} s on the device".format(**device))
END
  echo
  echo "Your own: copy examples/devices/bench.py, test it with \`ffzero device check\`, and name it with --device; docs/devices.md says more."
  exit
fi

if [ "${1:-}" = mpi ]; then
  # A small machine: as root, and more processes than cores, Open MPI starts only when told so.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  runs=()
  for ranks in 2 1; do
    run=$(folder_for "runs/demo-mpi-$ranks" summary.json yes)
    runs+=("$run")
    if [ -e "$run" ]; then continue; fi
    echo
    echo "On $ranks process(es): mpirun -n $ranks $ffzero train --solver ff_dd --directions 4 --epochs 2 --threads 1 --no-report --out $run"
    mpirun -n $ranks $ffzero train --solver ff_dd --directions 4 --epochs 2 --threads 1 --no-report --out "$run"
  done
  echo
  python3 - "${runs[@]}" <<'END'
import json, sys, zipfile
two, one = (zipfile.ZipFile(run + "/checkpoint.npz") for run in sys.argv[1:])
names = [name for name in two.namelist() if not name.startswith("meta")]  # meta holds times
same = sorted(two.namelist()) == sorted(one.namelist()) and all(two.read(name) == one.read(name) for name in names)
ranks = json.load(open(sys.argv[1] + "/summary.json"))["machine"]["ranks"]
print(f"{len(names)} arrays of the two checkpoints are {'the same, bit for bit' if same else 'NOT THE SAME'}")
print(f"two processes told one another {ranks['bytes']:,} bytes in {ranks['gathers']:,} messages")
sys.exit(0 if same else 1)
END
  echo "Next:        docs/scaling.md"
  exit
fi

reuse=yes
if [ $again = yes ] || [ $# -gt 0 ]; then reuse=no; fi
run=$(folder_for runs/demo summary.json $reuse)
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

reuse=yes
if [ $again = yes ]; then reuse=no; fi
cells=$(folder_for runs/demo-cells table.json $reuse)
echo
echo "The four cells on the same images, three seeds each: $ffzero sweep studies/four_cells.toml --out $cells"
$ffzero sweep studies/four_cells.toml --out "$cells"

echo
echo "The run:     $run   (config.toml, metrics.jsonl, summary.json, checkpoint.npz, log.txt, figures/)"
echo "The report:  $run/report.html"
echo "Four cells:  $cells/report.html   (one figure: $cells/figures/test_over_evaluations.png)"
echo "Next:        $ffzero train --help    and docs/tour.md"
