#!/usr/bin/env python3
# Drift after training: the phases of trained chips drift by .5 rad (standard deviation). Calibrated five times on the way, each time from the
# calibration before, then trained on the last twin, which costs no reading. And: what happens without calibrations, or with one at the end.
# First: ffzero sweep studies/imperfect/twin.toml --out runs/imperfect_twin --data-dir DIR
# python3 studies/imperfect/after_drift.py runs/imperfect_twin/runs/s0?-seed0 --out runs/imperfect_drift --data-dir DIR
# It is simulation: docs/imperfect.md.
# SPDX-License-Identifier: MIT
import argparse
import json
import pathlib
import statistics
import subprocess

import collect

TIME = 1000.0  # of the drift, s: long beside a calibration (0.008 s)
ERRORS = {"coupler": 0.06, "phase": 0.06, "drift_rms": 0.5, "drift_time": TIME}
NEW = {"drift_rms": 0.0}


def arguments():
    p = argparse.ArgumentParser(description="Drift of trained chips, and what calibrations bring back.")
    p.add_argument("runs", nargs="+", type=pathlib.Path, help="run folders of studies/imperfect/twin.toml")
    p.add_argument("--out", required=True, type=pathlib.Path, help="folder for calibrations, runs and table.json")
    p.add_argument("--data-dir", required=True, help="where MNIST is")
    p.add_argument("--program", default="build/release/ffzero", help="ffzero")
    p.add_argument("--settings", type=int, default=68, help="of a calibration")
    p.add_argument("--samples", type=int, default=16, help="at each setting")
    p.add_argument("--times", type=int, default=5, help="calibrations while the phases drift")
    p.add_argument("--epochs", type=int, default=20, help="on the twin, afterwards")
    return p.parse_args()


def chip_keys(number, age, errors):
    keys = dict(errors, number=number, age=age)
    return [word for key, value in keys.items() for word in ("--set", f"model.mesh.chip.{key}={value}")]


class Chip:
    """A trained chip: its run, and what is made of it."""

    def __init__(self, run, options):
        self.options = options
        self.run = run
        trained = collect.run_of(run, "twin")
        self.number, self.before = trained["chip"], trained["stages"]["last"]
        self.folder = options.out / f"chip{self.number}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def call(self, *words):
        done = subprocess.run([self.options.program, *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{self.run}: ffzero {words[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def calibrate(self, age, since):
        out = self.folder / f"age{age:g}.npz"
        earlier = ["--since", since] if since else []
        report = json.loads(self.call("calibrate", self.run, "--data-dir", self.options.data_dir, "--out", out, "--json", "--settings",
                                      self.options.settings, "--samples", self.options.samples, *earlier,
                                      *chip_keys(self.number, age, ERRORS if age else dict(ERRORS, **NEW))))
        return out, report

    def train(self, name, calibration, epochs):
        """Accuracy without a readout of the chip when it has drifted, trained on the twin from the phases of the run."""
        phases = self.folder / "phases.npz"
        if not phases.exists():
            self.call("export", self.run, "--format", "reference", "--out", phases)
        out = self.folder / name
        twin = ["--set", f"gradient.twin.file={calibration}"] if calibration else ["--set", "gradient.twin.fit=none"]
        self.call("train", "--preset", "adjoint", "--model", "photonic", "--data-dir", self.options.data_dir, "--set", "dataset.name=mnist",
                  "--set", "gradient.estimator=twin", *twin, "--set", "gradient.twin.refine=0", "--set", f"model.mesh.file={phases}", "--set",
                  "objective.temperature=0.02", "--set", "update.lr=0.01", "--set", "training.log_samples=0", "--epochs", epochs,
                  *chip_keys(self.number, TIME, ERRORS), "--out", out, "--quiet")
        return json.loads((out / "summary.json").read_text())["final"]["test"]


def main():
    options = arguments()
    rows = []
    for run in options.runs:
        chip = Chip(run, options)
        first, _ = chip.calibrate(0, None)
        since, errors = first, []
        for k in range(1, options.times + 1):
            since, report = chip.calibrate(TIME * k / options.times, since)
            errors.append(report["error"]["after"])
        last = chip.folder / "once.npz"
        followed = chip.train("followed", since, options.epochs)
        since.rename(last)
        once, report = chip.calibrate(TIME, first)
        rows.append({"chip": chip.number, "before": chip.before, "drifted": chip.train("drifted", None, 0), "followed": followed,
                     "errors": errors, "once_error": report["error"]["after"], "once": chip.train("once", once, options.epochs)})
        print(json.dumps(rows[-1]), flush=True)
    readings = options.times * options.settings * options.samples
    table = {"readings": readings, "rows": rows}
    for key in ("before", "drifted", "followed", "once"):
        values = [row[key] for row in rows]
        table[key] = {"median": statistics.median(values), "worst": min(values)}
        print(f"{key:10} median {table[key]['median']:.4f}  worst {table[key]['worst']:.4f}")
    table["kept"] = min(row["followed"] / row["before"] for row in rows)
    print(f"readings {readings}, least share of the accuracy before: {table['kept']:.4f}")
    (options.out / "table.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
