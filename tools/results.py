#!/usr/bin/env python3
"""Runs the studies behind docs/results.md and prints its tables.

  tools/results.py --binary build/release/ffzero --data-dir DIR [--only NAME ...] [--runs runs/results] [--threads 1]

Every row is one ffzero command repeated over seeds; runs that are finished are not repeated. DIR holds mnist/ and fashion-mnist/.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

MNIST = "--dataset mnist"
FASHION = "--dataset fashion-mnist"
FOURIER = ("--model photonic --set dataset.optical_field=fourier --set dataset.crop=8 --set model.mesh.layers=1 "
           "--set training.log_samples=0")
CROP10 = "--model photonic --set dataset.optical_field=amplitude --set dataset.crop=10 --set model.mesh.layers=1 --set training.log_samples=0"

# name: (arguments, number of seeds)
STUDIES = {
    # Dense, issue 2
    "dense_ff_ad": (f"--preset paper --solver ff_ad {MNIST} --epochs 5", 5),
    "dense_bp_ad": (f"--preset paper --solver bp_ad {MNIST} --epochs 20", 5),
    "dense_stable": (f"--preset paper_stable --solver ff_dd {MNIST} --epochs 3 --layers 100", 5),
    "dense_lottery": (f"--preset paper --solver ff_dd {MNIST} --epochs 5 --layers 100", 10),
    "dense_bp_dd": (f"--preset paper --solver bp_dd {MNIST} --epochs 20 --lr 1e-3", 5),
    "function1_ff_dd": ("--preset paper --solver ff_dd --dataset function1 --epochs 60", 5),
    "function2_ff_dd": ("--preset paper --solver ff_dd --dataset function2 --epochs 60", 5),
    "glyphs_default": ("--dataset glyphs", 3),
    # Convolutional, issue 3
    "cnn4_bp_ad": (f"--preset paper_mnist --solver bp_ad {MNIST} --epochs 5", 3),
    "cnn4_ff_ad": (f"--preset paper_mnist --solver ff_ad {MNIST} --epochs 5 --control", 3),
    "cnn4_ff_dd": (f"--preset paper_mnist --solver ff_dd {MNIST} --epochs 5 --control", 3),
    "cnn16_ff_ad": (f"--preset adjoint --model cnn {MNIST} --epochs 5 --control", 3),
    "cnn32_ff_ad": (f"--preset adjoint --model cnn {MNIST} --epochs 5 --control --set model.conv.channels=[32,32]", 3),
    "fashion_ff_ad": (f"--preset paper_fashion --solver ff_ad {FASHION} --epochs 5 --control", 3),
    "fashion_bp_ad": (f"--preset paper_fashion --solver bp_ad {FASHION} --epochs 5", 3),
    # Photonic with the paper's settings, issue 4
    **{f"crop5_{cell}": (f"--preset paper --model photonic --solver {cell} {MNIST} --classes 5 --set dataset.crop=5 --epochs 100"
                         " --set training.log_test=false --set training.log_samples=0", 3) for cell in ("ff_dd", "ff_ad", "bp_dd", "bp_ad")},
    **{f"crop8_{cell}": (f"--preset paper --model photonic --solver {cell} {MNIST} --set dataset.crop=8 --epochs 30"
                         " --set training.log_test=false --set training.log_samples=0", 3) for cell in ("ff_dd", "ff_ad")},
    # Photonic, better than the paper
    "crop10_ff_dd_40": (f"--preset opaque {CROP10} {MNIST} --epochs 20 --control", 3),
    "fourier_ff_ad": (f"--preset adjoint {FOURIER} {MNIST} --epochs 20 --control", 3),
    "fourier_ff_dd_40": (f"--preset opaque {FOURIER} {MNIST} --epochs 20 --control", 3),
    "fourier_ff_dd_200": (f"--preset opaque {FOURIER} {MNIST} --epochs 100 --control", 3),
    "fourier_readout_ff_ad": (f"--preset adjoint {FOURIER} {MNIST} --epochs 20 --set model.mesh.readout=trained --control", 3),
    "fourier_readout_ff_dd_40": (f"--preset opaque {FOURIER} {MNIST} --epochs 20 --set model.mesh.readout=trained --control", 3),
    "fourier_readout_ff_dd_200": (f"--preset opaque {FOURIER} {MNIST} --epochs 100 --set model.mesh.readout=trained --control", 3),
}


def run(args, name, command, seed):
    folder = pathlib.Path(args.runs) / f"{name}-{seed}"
    summary = folder / "summary.json"
    if not summary.exists():
        needs_data = "--dataset mnist" in command or "--dataset fashion" in command
        line = [args.binary, "train", *command.split(), "--seed", str(seed), "--threads", str(args.threads), "--out", str(folder), "--quiet"]
        if needs_data:
            line += ["--data-dir", args.data_dir]
        if folder.exists():
            line = [args.binary, "train", "--resume", str(folder), "--quiet"]
        code = subprocess.run(line, check=False).returncode
        if code == 7:
            return None  # diverged: a result, and said so
        if code != 0:
            sys.exit(f"{name} seed {seed}: ffzero ended with code {code}")
    return json.loads(summary.read_text())


def figures(values):
    values = [v for v in values if v is not None]
    return f"{statistics.median(values):.4f} ({min(values):.4f} .. {max(values):.4f})" if values else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/ffzero")
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--runs", default="runs/results")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(STUDIES))
    args = parser.parse_args()
    for name in args.only:
        command, seeds = STUDIES[name]
        results = [run(args, name, command, seed) for seed in range(seeds)]
        good = [r for r in results if r is not None]
        if not good:
            print(f"{name}: diverged with every seed")
            continue
        layers = ", ".join(f"{layer['name']} {figures([r['layers'][i]['test']['value'] for r in good])}" for i, layer in enumerate(good[0]["layers"]))
        controls = [r["control"]["test"] if r["control"] else None for r in good]
        evaluations = good[0]["forward_evals"]["training"] / max(1, len(good[0]["layers"]))
        print(f"| {name} | {good[0]['information']} | {len(good)} of {seeds} | {figures([r['final']['test'] for r in good])} | {layers} | "
              f"{figures(controls)} | {evaluations:.4g} | `ffzero train {command}` |", flush=True)


if __name__ == "__main__":
    main()
