#!/usr/bin/env python3
"""Seconds per epoch, start-up and memory of the ffzero program itself, over cells, models, threads, batch sizes, widths and directions.

  pipeline.py --binary build/release/ffzero [--data DIR] [--out bench/baselines/pipeline.json] [--quick]

Without --data everything runs on the built-in glyphs. Prints a table; the JSON keeps every number. One run after another, nothing side by side.
"""
import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import ffzero_runs  # noqa: E402

QUIET_LOG = ["--set", "training.log_samples=0"]


def cases(quick):
    """name -> (arguments, threads)."""
    table = {}
    cells = ("ff_dd", "ff_ad", "bp_dd", "bp_ad")
    for cell in cells:
        table[f"mlp {cell}"] = (["--preset", "paper", "--solver", cell], 1)
    for cell in cells[:1] if quick else cells:
        table[f"cnn {cell}"] = (["--preset", "paper", "--model", "cnn", "--solver", cell], 1)
        table[f"photonic {cell}, 25 ports"] = (["--preset", "paper", "--model", "photonic", "--solver", cell], 1)
    table["mlp activity"] = (["--preset", "activity"], 1)
    table["mlp ff_dd, 2 threads"] = (["--preset", "paper", "--solver", "ff_dd"], 2)
    if quick:
        return table
    for threads in (1, 2):
        table[f"cnn ff_dd 16,16, {threads} thread(s)"] = (["--preset", "paper", "--model", "cnn", "--set", "model.conv.channels=[16,16]"], threads)
    for batch in (32, 64, 128, 512):
        table[f"mlp ff_dd, batch {batch}"] = (["--preset", "paper", "--solver", "ff_dd", "--batch-size", str(batch)], 1)
    for width in (50, 200, 500, 1000):
        table[f"mlp ff_dd, two layers of {width}"] = (["--preset", "paper", "--solver", "ff_dd", "--layers", f"{width},{width}"], 1)
    for m in (2, 10, 50):
        for distribution in ("gaussian", "hadamard"):
            table[f"mlp ff_dd, m = {m}, {distribution}"] = (
                ["--preset", "paper", "--solver", "ff_dd", "--directions", str(m), "--set", f"gradient.distribution={distribution}"], 1)
    for crop in (6, 8, 10):
        table[f"photonic ff_dd, {crop * crop} ports"] = (["--preset", "paper", "--model", "photonic", "--set", f"dataset.crop={crop}"], 1)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/ffzero")
    parser.add_argument("--data", default="", help="folder with MNIST; empty: the built-in glyphs")
    parser.add_argument("--out", default="")
    parser.add_argument("--epochs", type=int, default=3, help="of each layer; the first does not count")
    parser.add_argument("--quick", action="store_true", help="a dozen cases only")
    options = parser.parse_args()
    data = ["--dataset", "mnist", "--data-dir", options.data] if options.data else ["--dataset", "glyphs"]
    samples = 60000 if options.data else 10000

    start_up = min(ffzero_runs.timed([options.binary, "--version"], 1)[1] for _ in range(5))
    result = {"machine": ffzero_runs.machine(), "dataset": data[1], "start_up_s": start_up, "cases": {}}
    print(f"start-up: {1e3 * start_up:.1f} ms\n\n| case | s / epoch of all layers | samples / s | whole run | peak memory |\n|---|---|---|---|---|")
    for name, (arguments, threads) in cases(options.quick).items():
        run = ffzero_runs.train(options.binary, [*arguments, *data, "--epochs", str(options.epochs), *QUIET_LOG], threads)
        epoch = ffzero_runs.epoch_seconds(run)
        result["cases"][name] = {"arguments": arguments, "threads": threads, "epoch_s": epoch, "whole_s": run["seconds"], "peak_rss_bytes": run["memory"],
                                 "wall_s": run["summary"]["wall_s"], "forward_evals": run["summary"]["forward_evals"]}
        print(f"| {name} | {epoch:.4g} | {samples / epoch:.3g} | {run['seconds']:.3g} s | {run['memory'] / 2**20:.0f} MiB |", flush=True)
        if options.out:
            pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


main()
