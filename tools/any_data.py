#!/usr/bin/env python3
"""Levels for studies/any_data.toml and studies/any_data_photonic.toml, and how many of their runs lie below them.

  tools/any_data.py levels                      prints the levels as Markdown
  tools/any_data.py count FOLDER [FOLDER ..]    table of the studies that ffzero sweep wrote into these folders; ends with 6 if a run is below
  tools/any_data.py slice FOLDER --binary build/release/ffzero    trains a few cells of both studies first; what the tests run

A level is a test accuracy after 3 epochs, the same for every seed. Exact gradients and activities have one number for all classes. Directional
derivatives have seven tenths of the way from chance to what seed 100 reached (which no study uses), linear between 2, 5 and 10 classes.
Standard library only.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

STUDIES = pathlib.Path(__file__).resolve().parent.parent / "studies"
FIXED = {("mlp", "ff_activity"): 0.85, ("mlp", "ff_ad"): 0.85, ("mlp", "bp_ad"): 0.80, ("photonic", "ff_ad"): 0.85, ("photonic", "bp_ad"): 0.80}
# Test accuracy of ff_dd at seed 100 with 2, 5 and 10 classes, by width; meshes have one.
SEED_100 = {
    ("mlp", "[100]"): (0.958, 0.781, 0.455),
    ("mlp", "[400]"): (0.9725, 0.890, 0.695),
    ("mlp", "[1000]"): (0.980, 0.900, 0.7575),
    ("photonic", ""): (0.925, 0.488, 0.2605),
}


def level(kind, solver, classes, width=""):
    if (kind, solver) in FIXED:
        return FIXED[kind, solver]
    two, five, ten = (1 / k + 0.7 * (v - 1 / k) for k, v in zip((2, 5, 10), SEED_100[kind, width]))
    exact = two + (five - two) * (classes - 2) / 3 if classes < 5 else five + (ten - five) * (classes - 5) / 5
    return math.floor(100 * exact + 1e-9) / 100


def print_levels():
    print("| solver | " + " | ".join(f"{k} classes" for k in range(2, 11)) + " |\n|---|" + "---|" * 9)
    for kind, solver, width in (
        [("mlp", s, "") for s in ("ff_activity", "ff_ad", "bp_ad")]
        + [("mlp", "ff_dd", w) for w in ("[100]", "[400]", "[1000]")]
        + [("photonic", s, "") for s in ("ff_ad", "bp_ad", "ff_dd")]
    ):
        title = ("mesh, " if kind == "photonic" else "") + solver + (f", {width[1:-1]} units" if width else "")
        print(f"| {title} | " + " | ".join(f"{level(kind, solver, k, width):.2f}" for k in range(2, 11)) + " |")


def runs_of(folder):
    """(solver, width, classes, seed, test accuracy) of every run, and what kind of network they are; a run without a result has None."""
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    kind = "photonic" if "photonic" in table["name"] else "mlp"
    axes = {s["setting"]: s["axes"] for s in table["settings"]}
    runs = []
    for run in table["runs"]:
        axis = axes[run["setting"]]
        runs.append((axis["solver"], axis.get("model.layers", ""), int(axis["dataset.classes"]), run["seed"], run["test"]))
    return kind, runs


def count(folders):
    print("| network | solver | classes | runs | lowest test | of it: classes, seed | nearest to its level | below |")
    print("|---|---|---|---|---|---|---|---|")
    below = []
    for kind, runs in map(runs_of, folders):
        for solver, width in dict.fromkeys((r[0], r[1]) for r in runs):
            chosen = [r for r in runs if r[:2] == (solver, width)]
            done = [r for r in chosen if r[4] is not None]
            low = [r for r in done if r[4] < level(kind, solver, r[2], width)]
            below += [(kind, *r) for r in low]
            title = "mesh" if kind == "photonic" else f"{width[1:-1]} units"
            classes = sorted({r[2] for r in chosen})
            if not done:
                print(f"| {title} | {solver} | {classes[0]} to {classes[-1]} | 0 of {len(chosen)} | - | - | - | - |")
                continue
            worst = min(done, key=lambda r: r[4])
            near = min(r[4] - level(kind, solver, r[2], width) for r in done)
            number = str(len(done)) if len(done) == len(chosen) else f"{len(done)} of {len(chosen)}"
            print(
                f"| {title} | {solver} | {classes[0]} to {classes[-1]} | {number} | {worst[4]:.4f} | {worst[2]}, {worst[3]} | {near:+.4f} "
                f"| {len(low)} |"
            )
    for kind, solver, width, classes, seed, test in below:
        print(f"below: {kind} {width} {solver}, {classes} classes, seed {seed}: {test:.4f} < {level(kind, solver, classes, width):.2f}")
    return 6 if below else 0


def replaced(text, key, value):
    lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text.splitlines()]
    if lines == text.splitlines():
        sys.exit(f"the study must set {key}")
    return "\n".join(lines) + "\n"


def run_slice(folder, binary):
    """One seed that is not among those of the studies, narrow networks, three and seven classes; meshes with two."""
    made = []
    for name, cut in (
        ("any_data", {"seeds": "[11]", "dataset.classes": "[3, 7]", "model.layers": "[[100]]"}),
        ("any_data_photonic", {"seeds": "[11]", "dataset.classes": "[2]"}),
    ):
        text = (STUDIES / f"{name}.toml").read_text(encoding="utf-8")
        for key, value in cut.items():
            text = replaced(text, key, value)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        command = [binary, "sweep", folder / f"{name}.toml", "--out", folder / name, "--jobs", "1", "--quiet"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr.strip()}")
        made.append(folder / name)
    return count(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["levels", "count", "slice"])
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path)
    options = parser.parse_args()
    if options.what == "levels":
        return print_levels()
    if not options.folders or (options.what == "slice" and options.binary is None):
        parser.error(f"{options.what} needs a folder" + (" and --binary" if options.what == "slice" else ""))
    if options.what == "count":
        return count(options.folders)
    options.folders[0].mkdir(parents=True, exist_ok=True)
    # A folder of its own each time: a sweep does not repeat what is finished.
    with tempfile.TemporaryDirectory(dir=options.folders[0]) as work:
        return run_slice(pathlib.Path(work), options.binary)


if __name__ == "__main__":
    sys.exit(main())
