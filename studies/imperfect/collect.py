#!/usr/bin/env python3
# Reads the runs of these studies into one file, prints medians and worst chips, and draws errors over readings of the chip (needs gnuplot).
# python3 studies/imperfect/collect.py twin=runs/imperfect_twin pat=runs/imperfect_pat --out studies/imperfect/results.json --figure docs/figures/imperfect.svg
# What --out holds of other studies, and of other seeds and chips of the same one, stays; without folders it is drawn and printed. It is simulation: docs/imperfect.md.
# SPDX-License-Identifier: MIT
import argparse
import json
import pathlib
import statistics
import subprocess
import tomllib

# Epochs behind which a stage of a study ends, where the last one is not all that is told.
STAGES = {study: {20: "loaded", 28: "fitted"} for study in ("twin", "twin_large", "twin_fashion", "population", "hard")}
STAGES["everything"] = {40: "loaded", 64: "fitted"}
# Points of the figure: study, stage, what is known, text, and where the text stands.
POINTS = [
    ("twin", "fitted", 0, "fitted twin", "left offset 1,0.6"), ("twin", "last", 0, "then two epochs on the chip", "center offset 0,-0.9"),
    ("along_once", "last", 0, "twin fitted along", "right offset -1,-0.4"), ("along", "last", 0, "twin fitted along", "left offset 1,0.5"),
    ("pat_once", "last", 1, "slopes of the model", "right offset -1,0.6"), ("pat", "last", 1, "slopes of the model", "left offset 1,-0.4"),
    ("transfer", "last", 2, "learnt matrix, random start", "right offset -1,-0.4"), ("from_model", "last", 3, "from the model's phases", "right offset -1,0.5"),
    ("from_model_40", "last", 3, "the same", "left offset 1,0"),
    ("single_phases", "last", 3, "one phase at a time, random start", "right offset -1,-0.2"),
    ("forward_only", "last", 3, "random directions, random start", "right offset -1,0.2"),
]
KNOWN = [("readings, slopes of a twin that is fitted", "#1f6f8b"), ("readings, slopes of the model as it is", "#d1495b"),
         ("readings, linear in the field", "#7a4fa3"), ("readings alone, on the chip", "#3f8f3f")]


def run_of(folder, study):
    """One run: chip, seed, readings of a training sample, accuracy behind each stage and with what was trained behind the mesh."""
    config = tomllib.loads((folder / "config.toml").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    tests = {line["epoch"]: line["test"] for line in lines if line.get("test") is not None}
    stages = {name: tests[epoch] for epoch, name in STAGES.get(study, {}).items() if epoch in tests}
    chip = config["model"]["mesh"].get("chip", {})
    return {"chip": chip.get("number", 0), "coupler": chip.get("coupler", 0.0), "phase": chip.get("phase", 0.0), "seed": config["seed"],
            "readings": summary["forward_evals"]["training"], "information": summary["information"],
            "stages": {**stages, "last": tests[max(tests)]}, "head": summary["final"]["test"]}


def study_of(folders, study, before):
    """The runs of these folders, and those of `before` with another seed or on another chip."""
    def which(run):
        return run["seed"], run["coupler"], run["phase"], run["chip"]

    found = [run_of(path.parent, study) for folder in folders for path in sorted(folder.glob("runs/*/summary.json"))]
    runs = {which(run): run for run in before + found}
    return [runs[key] for key in sorted(runs)]


def spread(runs, value):
    """Median over runs, and the worst one."""
    values = [value(run) for run in runs]
    return statistics.median(values), min(values)


def wrong(runs, stage):
    """Of the worst run, in percent."""
    return 100.0 * (1.0 - spread(runs, lambda run: run["stages"][stage])[1])


def print_tables(results):
    for study, runs in results.items():
        for seed in sorted({run["seed"] for run in runs}):
            own = [run for run in runs if run["seed"] == seed]
            columns = [(name, lambda run, name=name: run["stages"][name]) for name in own[0]["stages"]] + [("head", lambda run: run["head"])]
            texts = [f"{name} {median:.4f} (worst {worst:.4f})" for name, value in columns for median, worst in [spread(own, value)]]
            print(f"{study:14} seed {seed}, {len(own):2} runs, {statistics.median(run['readings'] for run in own):9,.0f} readings: " + "; ".join(texts))


def draw(results, samples, path):
    """Wrong answers of the worst chip of each way over readings a training sample, seed 0."""
    first = {study: [run for run in runs if run["seed"] == 0] for study, runs in results.items()}
    lines = ["set terminal svg size 820,470 font 'sans-serif,12' background '#ffffff'", f"set output '{path}'", "set logscale xy", "set grid lc '#dddddd'",
             "set xrange [0.01:100]", "set yrange [1.8:40]", "set format x '%g'", "set key Left reverse at graph 0.56, 0.86 samplen 1.5 spacing 1.2",
             "set ytics (2, 3, 5, 10, 20, 30)",
             "set xlabel 'readings of the chip a training sample'", "set ylabel 'wrong answers of the worst of ten chips, %'"]
    levels = [("ideal", "last", "the model itself, without errors", 3, "0,-0.6"), ("twin", "loaded", "trained on the model, loaded", 2, "0,0.6")]
    for study, stage, text, dash, offset in levels:
        if study not in first:
            continue
        level = wrong(first[study], stage)
        lines.append(f"set arrow from graph 0, first {level} to graph 1, first {level} nohead dt {dash} lc '#555555'")
        lines.append(f"set label '{text}' at graph 0.01, first {level} left offset {offset} tc '#555555'")
    parts = []
    for known, (text, colour) in enumerate(KNOWN):
        rows = []
        for study, stage, of, label, place in POINTS:
            if of != known or study not in first:
                continue
            worst = wrong(first[study], stage)
            readings = statistics.median(run["readings"] for run in first[study]) if stage == "last" else 1088
            rows.append(f"{readings / samples} {worst}")
            lines.append(f"set label \"{label}\" at {readings / samples}, {worst} {place} tc '{colour}' font ',10'")
        if rows:
            lines += [f"$known{known} << E", *rows, "E"]
            parts.append(f"$known{known} with points pt 7 ps 0.9 lc '{colour}' title '{text}'")
    subprocess.run(["gnuplot"], input="\n".join(lines + ["plot " + ", ".join(parts)]) + "\n", text=True, check=True)


def main():
    p = argparse.ArgumentParser(description="Collects the runs of studies/imperfect.")
    p.add_argument("studies", nargs="*", help="STUDY=FOLDER of a sweep; the same study may have several folders")
    p.add_argument("--out", required=True, type=pathlib.Path, help="JSON file of what the runs reached")
    p.add_argument("--figure", help="SVG file")
    p.add_argument("--samples", type=int, default=60000, help="training samples")
    options = p.parse_args()
    if options.studies:
        folders = {}
        for word in options.studies:
            study, _, folder = word.partition("=")
            folders.setdefault(study, []).append(pathlib.Path(folder))
        before = json.loads(options.out.read_text()) if options.out.exists() else {}
        results = {**before, **{study: study_of(own, study, before.get(study, [])) for study, own in folders.items()}}
        options.out.write_text("{\n" + ",\n".join(f"{json.dumps(study)}: [\n" + ",\n".join(map(json.dumps, runs)) + "]" for study, runs in results.items()) + "\n}\n")
    results = json.loads(options.out.read_text())
    print_tables(results)
    if options.figure:
        draw(results, options.samples, options.figure)


if __name__ == "__main__":
    main()
