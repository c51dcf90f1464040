#!/usr/bin/env python3
"""Kills one of three ranks at a random moment, again and again: how long the job lives on, and whether the resumed run has the same bits.

  tools/rank_kills.py [--ffzero build/release/ffzero] [--kills 27] [--seed 1]

Each time a run on three ranks loses one to SIGKILL; it is then resumed on one, two or four, and must end with the arrays and the results of a run
that nobody disturbed. Prints a line a kill; ends with 6 if a result differs or a job lives longer than five seconds. Needs an ffzero that
was built with -DFFZERO_MPI=ON, and mpirun.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

SETTINGS = ["--dataset", "glyphs", "--layers", "24,12", "--solver", "ff_dd", "--directions", "4", "--epochs", "2", "--batch-size", "64",
            "--threads", "1", "--set", "training.save_every_s=0"]
QUIET = ["train", "--quiet", "--no-report"]
LIMIT_S = 5.0


def result(run):
    """What must be the same: arrays of the checkpoint, and what the summary says of learning."""
    with zipfile.ZipFile(run / "checkpoint.npz") as archive:
        arrays = {name: archive.read(name) for name in archive.namelist() if name != "meta.npy"}
    summary = json.loads((run / "summary.json").read_text())
    return arrays, summary["final"], summary["forward_evals"]


def children(pid):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return sorted(int(word) for word in listed.split())


def kill_one(program, run, environment, longest):
    """The rank that was killed and the seconds until the job was over; no rank: the run was faster."""
    job = subprocess.Popen(["mpirun", "-n", "3", program, *QUIET, *SETTINGS, "--out", str(run)], env=environment,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run / "checkpoint.npz").exists() and job.poll() is None:
        time.sleep(0.05)
    time.sleep(random.uniform(0.0, longest))
    ranks = children(job.pid)
    if job.poll() is not None or len(ranks) != 3:
        job.wait()
        return None, 0.0
    rank = random.randrange(3)
    os.kill(ranks[rank], signal.SIGKILL)
    killed = time.monotonic()
    job.wait()
    return (None if (run / "summary.json").exists() else rank), time.monotonic() - killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--ffzero", default="build/release/ffzero")
    parser.add_argument("--kills", type=int, default=27)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    environment = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    good, slowest, kills, longest = True, 0.0, 0, 8.0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([options.ffzero, *QUIET, *SETTINGS, "--out", str(folder / "whole")], check=True)
        whole = result(folder / "whole")
        while kills < options.kills:
            run = folder / "run"
            shutil.rmtree(run, ignore_errors=True)
            rank, lived_s = kill_one(options.ffzero, run, environment, longest)
            if rank is None:
                longest = max(0.2, 0.8 * longest)
                continue
            kills += 1
            ranks = random.choice([1, 2, 4])
            subprocess.run(["mpirun", "-n", str(ranks), options.ffzero, *QUIET, "--resume", str(run)], env=environment, check=True)
            same = result(run) == whole
            good = good and same and lived_s < LIMIT_S
            slowest = max(slowest, lived_s)
            print(f"{kills}: rank {rank} killed, over after {lived_s:.1f} s, resumed on {ranks}: {'the same bits' if same else 'DIFFERENT'}",
                  flush=True)
    print(f"{kills} kills, over after {slowest:.1f} s at the latest")
    return 0 if good else 6


if __name__ == "__main__":
    sys.exit(main())
