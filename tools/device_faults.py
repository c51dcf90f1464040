#!/usr/bin/env python3
"""Injects faults at random into runs that train through a device, and checks what is left of them.

  tools/device_faults.py PROGRAM [--runs N] [--seed N] [--rate R] [--keep]

PROGRAM: ffzero. Each run trains through tests/unit/device/moody_device.py, whose readings never repeat and a share R of whose evaluations
goes wrong (hang, crash, disconnect, garbage, NaN, cut line, slow answer, refusal, wrong count). Meanwhile the host is killed (-9), and the
device too, at random moments; what stops is resumed until it is finished. Then ffzero train --replay repeats the run from its journal
without a device. A run is right if
  each session ended with exit code 0, 5 or by our kill, and its message is one line;
  the parameters and results of the repeated run have the same bits;
  the instrument was in its safe state after each session.
Prints one line for each wrong run and one in the end; exits with 1 if there was any. Standard library only.
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

DEVICE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "unit" / "device" / "moody_device.py"
MOST_SESSIONS = 60


class Wrong(Exception):
    pass


def write_table(file, draw):
    with open(file, "w", encoding="ascii") as out:
        out.write("a,b,y\n")
        for _ in range(64):
            a, b = draw.uniform(-1, 1), draw.uniform(-1, 1)
            out.write(f"{a:.4f},{b:.4f},{0.6 * a - 0.4 * b:.4f}\n")


def arrays(run):
    with zipfile.ZipFile(run / "checkpoint.npz") as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "meta.npy"}


def results(run):
    summary = json.loads((run / "summary.json").read_text())
    looks = [[device[key] for key in ("noise", "drift", "looks")] for device in summary["devices"]]
    return [summary[key] for key in ("final", "layers", "stopped_by", "skipped")] + [looks, summary["forward_evals"]["training"]]


def device_of(host):
    """The program that this process of the host has started; None if there is none just now."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        # By its words, because other children are not the device: the leak sanitizer looks at a program that ends from such a one,
        # and the program waits for it without end if it is killed.
        if int(fields[1]) == host and words[1:2] == [str(DEVICE).encode()]:
            return int(entry.name)
    return None


def wait_for_safe(log):
    """The last parameters that the instrument applied, once they are safe or have not changed for ten seconds."""
    last, since = "", time.monotonic()
    while time.monotonic() - since < 10.0:
        lines = log.read_text().splitlines() if log.exists() else ["0 0"]
        if lines and lines[-1] == "0 0":
            return
        if lines[-1:] != [last]:
            last, since = (lines[-1] if lines else ""), time.monotonic()
        time.sleep(0.02)
    raise Wrong(f"the instrument was left at {last}")


def session(command, log, draw, counts):
    """One process of the host; True if it has finished the run."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # Moments after the first reading of the session: before it there is nothing to disturb.
    host_at = draw.uniform(0.0, 0.4) if draw.random() < 0.5 else None
    device_at = draw.uniform(0.0, 0.4) if draw.random() < 0.5 else None
    length, begun, first = log.stat().st_size if log.exists() else 0, time.monotonic(), None
    while process.poll() is None:
        now = time.monotonic()
        if now - begun > 120:
            process.kill()
            raise Wrong("a session hangs")
        if first is None and log.exists() and log.stat().st_size > length:
            first = now
        if host_at is not None and first is not None and now > first + host_at:
            process.send_signal(signal.SIGKILL)
            counts["hosts killed"] += 1
            host_at = None
        if device_at is not None and first is not None and now > first + device_at:
            device_at = None
            number = device_of(process.pid)
            if number is not None:
                try:
                    os.kill(number, signal.SIGKILL)
                    counts["devices killed"] += 1
                except ProcessLookupError:
                    pass
        time.sleep(0.005)
    said = [line for line in process.stderr.read().splitlines() if not line.startswith("saved; go on with")]
    counts["sessions"] += 1
    if process.returncode not in (0, 5, -signal.SIGKILL):
        raise Wrong(f"exit code {process.returncode}: {said}")
    if process.returncode == 5 and len([line for line in said if line.startswith("ffzero: ")]) != 1:
        raise Wrong(f"not one line: {said}")
    wait_for_safe(log)
    return process.returncode == 0


def one_run(program, folder, seed, rate, counts):
    draw = random.Random(seed)
    table, log, run, again = folder / "table.csv", folder / "log", folder / "run", folder / "again"
    write_table(table, draw)
    device = f"exec:'{sys.executable}' '{DEVICE}' '{log}' {seed} {rate}"
    skips = draw.random() < 0.5
    start = [program, "train", "--quiet", "--no-report", "--threads", "1", "--dataset", "csv", "--data-dir", str(table),
             "--set", "dataset.label=y", "--set", "dataset.task=regression", "--set", "dataset.test=0.25", "--set", "dataset.scale=none",
             "--epochs", "3", "--batch-size", "16", "--directions", "2", "--seed", str(seed), "--set", "training.save_every_s=0", "--set", "device.journal=all",
             "--set", f"device.on_failure={'skip' if skips else 'retry'}", "--set", f"device.retries={draw.choice((1, 2))}",
             "--set", "device.hello_s=5", "--device", device, "--out", str(run)]
    resume = [program, "train", "--quiet", "--no-report", "--threads", "1", "--resume", str(run), "--device", device]
    for _ in range(MOST_SESSIONS):
        if session(resume if (run / "checkpoint.npz").exists() else start, log, draw, counts):
            break
    else:
        raise Wrong(f"not finished after {MOST_SESSIONS} sessions")
    replayed = subprocess.run([program, "train", "--quiet", "--no-report", "--threads", "1", "--replay", str(run), "--out", str(again)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if replayed.returncode != 0:
        raise Wrong(f"the journal does not repeat it: {replayed.stderr.strip()}")
    if arrays(run) != arrays(again):
        raise Wrong("the repeated run learnt something else")
    if results(run) != results(again):
        raise Wrong(f"the repeated run has other results: {results(run)} and {results(again)}")
    summary = json.loads((run / "summary.json").read_text())
    for key in ("failures", "retries", "restarts", "dropped"):
        counts[key] += summary["devices"][0][key]
    counts["skipped steps"] += summary["skipped"]["steps"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--keep", action="store_true", help="keep the folders of wrong runs")
    options = parser.parse_args()
    program = str(pathlib.Path(options.program).resolve())
    names = ("sessions", "hosts killed", "devices killed", "failures", "retries", "restarts", "dropped", "skipped steps")
    counts = dict.fromkeys(names, 0)
    wrong = 0
    for seed in range(options.seed, options.seed + options.runs):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ffzero-faults-"))
        try:
            one_run(program, folder, seed, options.rate, counts)
        except Wrong as why:
            wrong += 1
            print(f"run {seed}: {why}" + (f" ({folder})" if options.keep else ""), flush=True)
            if options.keep:
                continue
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.runs} runs, {wrong} wrong; " + ", ".join(f"{value} {name}" for name, value in counts.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
