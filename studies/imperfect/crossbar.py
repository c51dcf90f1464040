#!/usr/bin/env python3
# What trained networks are worth on crossbars, from a second to a month after their weights were programmed.
# First: ffzero sweep studies/imperfect/crossbar.toml --out runs/crossbar --data-dir DIR
# python3 studies/imperfect/crossbar.py runs/crossbar/runs/* --out runs/crossbar/table.json --data-dir DIR
# It is simulation: docs/imperfect.md.
# SPDX-License-Identifier: MIT
import argparse
import json
import pathlib
import statistics
import subprocess
import tomllib

TIMES = {"1 s": 1.0, "1 hour": 3600.0, "1 day": 86400.0, "1 month": 2.592e6}


def arguments():
    p = argparse.ArgumentParser(description="Trained networks on crossbars, a second to a month after programming.")
    p.add_argument("runs", nargs="+", type=pathlib.Path, help="run folders of studies/imperfect/crossbar.toml")
    p.add_argument("--out", required=True, type=pathlib.Path, help="table as JSON")
    p.add_argument("--data-dir", required=True, help="where MNIST is")
    p.add_argument("--program", default="build/release/ffzero", help="ffzero")
    p.add_argument("--programmings", type=int, default=3, help="seeds of the cells: each network is programmed so often")
    return p.parse_args()


def test_accuracy(run, options, words):
    call = [options.program, "eval", str(run), "--data-dir", options.data_dir, "--json", "--threads", "1"]
    done = subprocess.run(call + [f"--set={word}" for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{run}: ffzero eval failed: {done.stderr.strip()}")
    return json.loads(done.stdout)["final"]


def on_map(run, options, kind, numbers):
    """Test accuracies on `kind`, programmed anew for each seed."""
    found = []
    for seed in range(options.programmings):
        text = ", ".join(f"{name} = {value:g}" for name, value in {**numbers, "seed": seed}.items())
        found.append(test_accuracy(run, options, [f"model.map={kind}", f'model.map_options="{text}"']))
    return {"mean": statistics.mean(found), "worst": min(found), "all": found}


def main():
    options = arguments()
    table = []
    for run in options.runs:
        config = tomllib.loads((run / "config.toml").read_text())
        summary = json.loads((run / "summary.json").read_text())
        trained = config["model"]["map"]
        row = {"run": run.name, "trained": trained, "eps": config["gradient"]["eps"], "seed": config["seed"], "evaluations": summary["forward_evals"]["training"]}
        row["as trained, without errors"] = test_accuracy(run, options, ["model.map=dense"])
        row["crossbar_io"] = on_map(run, options, "crossbar_io", {})
        for compensation in (0, 1):
            for name, seconds in TIMES.items():
                label = f"crossbar_pcm, {name}" + (", compensated" if compensation else "")
                row[label] = on_map(run, options, "crossbar_pcm", {"seconds": seconds, "compensation": compensation})
        table.append(row)
        print(json.dumps(row))
    options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
