#!/usr/bin/env python3
"""Runs the studies behind docs/results.md and prints its tables.

  tools/results.py --binary build/release/ffzero --data-dir DIR [--only NAME ...] [--runs runs/results] [--threads 1]
  tools/results.py ... --choose [--only NAME ...]    the comparisons that chose the settings, on 5,000 images held out of the train set
  tools/results.py ... --curves docs/figures/evaluations.svg    accuracy over evaluations, from runs that are there (needs gnuplot)

Every row is one ffzero command repeated over seeds; runs that are finished are not repeated, cut-off ones are gone on with. DIR holds
mnist/ and fashion-mnist/.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

MNIST = "--dataset mnist"
FASHION = "--dataset fashion-mnist"
QUIET = "--set training.log_samples=0"  # no pass over train samples between epochs
FOURIER = ("--model photonic --set dataset.optical_field=fourier --set dataset.crop=8 --set model.mesh.layers=1 "
           "--set training.log_samples=0")
CROP10 = "--model photonic --set dataset.optical_field=amplitude --set dataset.crop=10 --set model.mesh.layers=1 --set training.log_samples=0"

READOUT = "--set model.mesh.linear_head=trained"

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
    "cnn4_ff_ad": (f"--preset paper_mnist --solver ff_ad {MNIST} --epochs 5 --baseline", 3),
    "cnn4_ff_dd": (f"--preset paper_mnist --solver ff_dd {MNIST} --epochs 5 --baseline", 3),
    "cnn16_ff_ad": ("studies/cnn_adjoint.toml --baseline", 3),
    "cnn32_ff_ad": ("studies/cnn_adjoint.toml --baseline --set model.conv.channels=[32,32] --epochs 1", 3),
    "fashion_ff_ad": (f"--preset paper_fashion --solver ff_ad {FASHION} --epochs 5 --baseline {QUIET}", 3),
    "fashion_bp_ad": (f"--preset paper_fashion --solver bp_ad {FASHION} --epochs 5 {QUIET}", 3),
    # Learning per evaluation, issue 5
    "opaque_40": ("studies/opaque_pixels.toml", 5),
    "opaque_pca_40": ("studies/opaque_pca.toml", 5),
    "opaque_pca_200": ("studies/opaque_pca.toml --epochs 100 --set model.pca=[40,40,40,40]", 5),
    "grouped_20": ("studies/grouped.toml --baseline", 5),
    "grouped_40": ("studies/grouped.toml --epochs 20", 3),
    "grouped_200": ("studies/grouped.toml --epochs 100 --layers 1280,1280,1280", 5),
    "activity_80": ("studies/activity.toml", 5),
    "activity_shift_399": ("studies/activity_shift.toml", 5),
    "adjoint_shift": ("studies/adjoint_shift.toml", 5),
    "bp_dd_40": ("studies/end_to_end_directions.toml", 5),
    "cnn_directions_exact_head": ("studies/cnn_directions_exact_head.toml", 3),
    "cnn_directions_all": ("studies/cnn_directions_all.toml", 3),
    "fashion_activity": (f"studies/activity.toml {FASHION} --epochs 20 --set dataset.flip=true --set model.dropout=0.1 --set model.input_dropout=0.1",
                         3),
    "cnn_32_wide": ("studies/cnn_wide_head.toml --baseline", 3),
    "fashion_cnn": (f"studies/cnn_wide_head.toml {FASHION} --set dataset.shift=0 --set model.conv.channels=[64,64] --epochs 2 --baseline", 3),
    # Photonic with the paper's settings, issue 4
    **{f"crop5_{cell}": (f"--preset paper --model photonic --solver {cell} {MNIST} --classes 5 --set dataset.crop=5 --epochs 100"
                         " --set training.log_test=false --set training.log_samples=0", 3) for cell in ("ff_dd", "ff_ad", "bp_dd", "bp_ad")},
    **{f"crop8_{cell}": (f"--preset paper --model photonic --solver {cell} {MNIST} --set dataset.crop=8 --epochs 30"
                         " --set training.log_test=false --set training.log_samples=0", 3) for cell in ("ff_dd", "ff_ad")},
    # Photonic, better than the paper. Training with a readout fitted afterwards is the same training: the accuracy with the prototypes alone
    # is the last one of metrics.jsonl, printed as "prototypes alone".
    "crop10_readout_ff_dd_40": (f"--preset opaque {CROP10} {MNIST} --epochs 20 {READOUT} --baseline", 3),
    "fourier_ff_ad": (f"--preset adjoint {FOURIER} {MNIST} --epochs 40 --lr 1e-2 --baseline", 3),
    "fourier_joint_ff_ad": (f"--preset adjoint {FOURIER} {MNIST} --epochs 40 --lr 1e-2 --set model.mesh.linear_head=joint --baseline", 3),
    "fourier_readout_ff_dd_40": (f"--preset opaque {FOURIER} {MNIST} --epochs 20 {READOUT} --baseline", 3),
    "fourier_readout_ff_dd_200": (f"--preset opaque {FOURIER} {MNIST} --epochs 100 {READOUT} --baseline", 3),
}

TRAIN_SIZES = {"mnist": 60000, "fashion-mnist": 60000}  # the functions and the glyphs have 10,000

# What chose the settings. name: (arguments, {label: more arguments}); one seed each, judged by the images held out.
CHOICES = {
    "opaque_10": ("studies/opaque_pca.toml --layers 100 --epochs 5", {
        **{f"batch_{b}_pca_{p}_lr_{lr}": f"--set objective.temperature=0.05 --set training.batch_size={b} --set model.pca=[{p}] --lr {lr}"
           for b in (8, 16) for p in (25, 40) for lr in ("5e-3", "1e-2")},
        **{label: f"--set model.pca=[25] --set objective.temperature={t} {more}" for label, t, more in (
            ("whitened", 0.05, "--set model.pca_power=1"), ("quarter_whitened", 0.05, "--set model.pca_power=0.25"),
            ("temperature_0.1", 0.1, ""), ("temperature_0.2", 0.2, ""),
            ("gaussian", 0.05, "--set gradient.distribution=gaussian"), ("hadamard", 0.05, "--set gradient.distribution=hadamard"),
            ("tanh", 0.05, "--set model.activation=tanh"), ("hold_norm", 0.05, "--set update.hold_norm=true"),
            ("batch_4", 0.05, "--set training.batch_size=4"))},
    }),
    "opaque_40": ("studies/opaque_pca.toml --layers 100", {
        **{f"pca_25_temperature_{t}_lr_{lr}": f"--set model.pca=[25] --set objective.temperature={t} --lr {lr}"
           for t in (0.1, 0.15) for lr in ("2e-3", "5e-3")},
        **{f"pca_30{label}": f"--set model.pca=[30] {more}" for label, more in (
            ("", ""), ("_lr_3e-3", "--lr 3e-3"), ("_beta1_0.99", "--lr 3e-3 --set update.beta1=0.99"),
            ("_beta2_0.9999", "--lr 3e-3 --set update.beta2=0.9999"), ("_not_centred", "--set model.normalise=none"),
            ("_not_centred_temperature_0.2", "--set model.normalise=none --set objective.temperature=0.2"))},
    }),
    "opaque_network_40": ("studies/opaque_pca.toml", {
        "pca_25_30_30_20": "", "pca_25_20_20_20": "--set model.pca=[25,20,20,20]", "pca_30": "--set model.pca=[30,30,30,30] --lr 3e-3"}),
    "opaque_pixels_20": ("studies/opaque_pixels.toml --layers 100 --epochs 10", {
        f"batch_{b}_lr_{lr}": f"--set training.batch_size={b} --lr {lr}" for b, lr in ((16, "3e-3"), (64, "3e-3"), (16, "1e-3"), (8, "1e-3"))}),
    "grouped_20_layer": ("studies/grouped.toml --layers 640", {
        label: f"--set model.pca=[{p}] --set objective.temperature={t} --set model.normalise=centre_length {more}" for label, p, t, more in (
            ("20_groups", 30, 0.1, ""), ("10_groups", 30, 0.1, "--set model.groups=10"), ("40_groups", 30, 0.1, "--set model.groups=40"),
            ("batch_8", 30, 0.1, "--set training.batch_size=8"), ("lr_1e-2", 30, 0.1, "--lr 1e-2"), ("pca_40", 40, 0.1, ""),
            ("temperature_0.05", 30, 0.05, ""), ("temperature_0.2", 30, 0.2, ""),
            ("pca_40_temperature_0.05", 40, 0.05, ""))} | {"pca_40_temperature_0.05_not_centred": "--set model.pca=[40]"}),
    "activity_100": ("studies/activity.toml", {
        "1000_prototypes": "",
        "500_span_4": "--layers 500,500 --epochs 11 --directions 4 --set gradient.distribution=span --set model.dropout=0.1 "
                      "--set model.input_dropout=0.1"}),
    "bp_dd_10": ("studies/end_to_end_directions.toml --epochs 5", {
        **{f"linear_batch_{b}_lr_{lr}": f"--set training.batch_size={b} --lr {lr}"
           for b, lr in ((16, "3e-4"), (16, "1e-3"), (16, "3e-3"), (64, "2e-3"))},
        "relu_batch_16_lr_1e-3": "--lr 1e-3 --set model.activation=relu",
        **{f"relu_centred_batch_{b}_lr_{lr}": f"--set training.batch_size={b} --lr {lr} --set model.activation=relu "
           "--set model.normalise=centre_length" for b, lr in ((16, "5e-4"), (16, "1e-3"), (16, "3e-3"), (64, "1e-3"), (64, "3e-3"))},
    }),
    "bp_dd_40": ("studies/end_to_end_directions.toml", {
        "linear_batch_16_lr_5e-4": "", "linear_batch_16_lr_2.5e-4": "--lr 2.5e-4",
        "linear_batch_64_lr_1e-3": "--set training.batch_size=64 --lr 1e-3", "relu_batch_16_lr_5e-4": "--set model.activation=relu"}),
    "cnn_directions": ("studies/cnn_directions_exact_head.toml --set baseline.untrained=false", {
        "lr_5e-3": "--lr 5e-3", "lr_2e-3": ""}),
    "grouped_20": ("studies/grouped.toml", {
        "two_layers_pca_60": "--layers 640,640 --set model.pca=[40,60]",
        **{f"three_layers_pca_{p}": f"--set model.pca=[40,{p},{p}]" for p in (60, 80, 120, 160)},
        "four_layers_pca_120": "--layers 640,640,640,640 --set model.pca=[40,120,120,120]",
        **{f"three_layers_of_1280_pca_{p}": f"--layers 1280,1280,1280 --set model.pca=[40,{p},{p}]" for p in (60, 80)}}),
    "grouped_200": ("studies/grouped.toml --epochs 100", {
        "640_pca_50": "--layers 640,640 --set model.pca=[50,60]",
        **{f"1280_lr_{lr}": f"--layers 1280,1280 --set model.pca=[40,60] --lr {lr}" for lr in ("5e-3", "1e-2")},
        "1280_batch_8": "--layers 1280,1280 --set model.pca=[40,60] --set training.batch_size=8",
        "2560_40_groups": "--layers 2560,2560 --set model.pca=[40,60] --set model.groups=40",
        **{f"three_layers_pca_{p}{label}": f"--layers 1280,1280,1280 --set model.pca=[40,{p},{p}] {more}" for p, label, more in (
            (60, "", ""), (60, "_batch_8", "--set training.batch_size=8"), (80, "", ""), (80, "_batch_8", "--set training.batch_size=8"),
            (120, "", ""))}}),
    "cnn_32": ("studies/cnn_adjoint.toml --set model.conv.channels=[32,32] --set dataset.shift=1", {
        "2_epochs": "", "4_epochs": "--epochs 4"}),
    "cnn_32_wide": ("studies/cnn_wide_head.toml", {"no_shift": "--set dataset.shift=0", "shift": ""}),
    "fashion_cnn": (f"studies/cnn_adjoint.toml {FASHION} --set model.conv.channels=[32,32]", {
        "dropout": "--set model.dropout=0.2", "flip_4_epochs": "--set dataset.flip=true --epochs 4",
        "flip_shift_4_epochs": "--set dataset.flip=true --set dataset.shift=1 --epochs 4",
        "64_flip_4_epochs_dropout": "--set model.conv.channels=[64,64] --set dataset.flip=true --set model.dropout=0.2 --epochs 4"}),
    "fashion_cnn_wide": (f"studies/cnn_wide_head.toml {FASHION} --set dataset.shift=0 --epochs 2", {
        "32": "", "32_flip": "--set dataset.flip=true", "64": "--set model.conv.channels=[64,64]"}),
    "adjoint_shift": ("studies/adjoint_shift.toml", {
        "600": "--layers 600,600 --epochs 16", "1000": "--epochs 16", "1000_dropout_0.2": "--epochs 16 --set model.dropout=0.2",
        "three_layers": "--epochs 16 --layers 1000,1000,1000", "1000_30_epochs": "",
        "1500_dropout_0.2": "--epochs 16 --layers 1500,1500 --set model.dropout=0.2"}),
    "fashion_activity": (f"studies/activity.toml {FASHION}", {
        **{f"10_epochs_dropout_{d}": f"--epochs 10 --set model.dropout={d} --set model.input_dropout={d}" for d in (0, 0.1, 0.2)},
        "10_epochs_flip": "--epochs 10 --set dataset.flip=true", "20_epochs_flip": "--epochs 20 --set dataset.flip=true",
        **{f"{e}_epochs_flip_dropout_0.1": f"--epochs {e} --set dataset.flip=true --set model.dropout=0.1 --set model.input_dropout=0.1"
           for e in (20, 40)}}),
    "cnn_adjoint": ("studies/cnn_adjoint.toml --epochs 1", {
        "temperature_0.3": "", "temperature_0.05": "--set objective.temperature=0.05"}),
}

COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#777777"]

# (row, layer, words)
CURVES = [
    ("opaque_40", 0, "opaque, pixels (40)"),
    ("opaque_pca_40", 0, "opaque, PCA (40)"),
    ("opaque_pca_200", 0, "opaque, PCA (200)"),
    ("grouped_20", 2, "grouped, PCA (20)"),
    ("grouped_200", 2, "grouped, PCA (200)"),
    ("activity_80", 1, "activity (84)"),
    ("activity_shift_399", 1, "activity, shifts (399)"),
    ("adjoint_shift", 1, "adjoint, shifts"),
    ("bp_dd_40", 3, "end to end, directional (40)"),
]


def run(args, name, command, seed):
    folder = pathlib.Path(args.runs) / f"{name}-{seed}"
    summary = folder / "summary.json"
    if not summary.exists():
        line = [args.binary, "train", *command.split(), "--seed", str(seed), "--threads", str(args.threads), "--out", str(folder)]
        if "glyphs" not in command and "function" not in command:
            line += ["--data-dir", args.data_dir]
        if (folder / "checkpoint.npz").exists():
            line = [args.binary, "train", "--resume", str(folder)]
        elif folder.exists():
            shutil.rmtree(folder)  # stopped before its first checkpoint
        code = subprocess.run([*line, "--quiet", "--no-report"], check=False).returncode
        if code == 7:
            return None  # diverged: a result, and said so
        if code != 0:
            sys.exit(f"{name} seed {seed}: ffzero ended with code {code}")
    return json.loads(summary.read_text())


def figures(values):
    values = [v for v in values if v is not None]
    return f"{statistics.median(values):.4f} ({min(values):.4f} .. {max(values):.4f})" if values else "-"


def before_readout(args, name, seed):
    """Test accuracy with the prototypes at the end of training."""
    lines = (pathlib.Path(args.runs) / f"{name}-{seed}" / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["test"]


def show_row(args, name):
    command, seeds = STUDIES[name]
    seeds = min(seeds, args.seeds or seeds)
    results = [run(args, name, command, seed) for seed in range(seeds)]
    good = [r for r in results if r is not None]
    if not good:
        print(f"{name}: diverged with every seed")
        return
    layers = ", ".join(f"{layer['name']} {figures([r['layers'][i]['test']['value'] for r in good])}" for i, layer in enumerate(good[0]["layers"]))
    if "readout=trained" in command:
        layers += f"; prototypes alone {figures([before_readout(args, name, seed) for seed, r in enumerate(results) if r is not None])}"
    controls = [r["control"]["test"] if r["control"] else None for r in good]
    gains = [r["final"]["test"] - r["control"]["test"] if r["control"] else None for r in good]
    # An entry per layer in the account; what it divides by is what the run trained on.
    evaluations = [round(layer["training"] / TRAIN_SIZES.get(r["dataset"], 10000), 1) for r in good[:1] for layer in r["forward_evals"]["per_layer"]]
    named = " + ".join([good[0]["information"], *good[0].get("front_ends", [])])
    print(f"| {name} | {named} | {len(good)} of {seeds} | {figures([r['final']['test'] for r in good])} | {layers} | "
          f"{figures(controls)} | {figures(gains)} | {evaluations} | `ffzero train {command}` |", flush=True)


def show_choice(args, name):
    base, variants = CHOICES[name]
    for label, more in variants.items():
        command = f"{base} {more} --set dataset.validation=5000 --set training.log_samples=0 --set training.log_test=false"
        r = run(args, f"choose_{name}_{label}", command, 0)
        values = "diverged" if r is None else ", ".join(f"{layer['validation']['value']:.4f}" for layer in r["layers"])
        vote = f"{r['vote']['validation']:.4f}" if r and r["vote"] else "-"
        print(f"| {name} | {label} | {values} | {vote} | `ffzero train {command}` |", flush=True)


def curve(args, name, layer):
    """Median test accuracy of a layer over the seeds, against its own evaluations per sample."""
    points = {}
    for seed in range(STUDIES[name][1]):
        path = pathlib.Path(args.runs) / f"{name}-{seed}" / "metrics.jsonl"
        if not path.exists():
            continue
        records = [json.loads(line) for line in path.read_text().splitlines()]
        before = max([r["forward_evals"] for r in records if r["layer_index"] < layer], default=0)
        for r in records:
            if r["layer_index"] == layer and r["test"] is not None:
                sharing = layer + 1 if r["layer"] == "all" else 1  # end to end every layer is evaluated in every step
                points.setdefault((r["forward_evals"] - before) / 60000 / sharing, []).append(r["test"])
    return [(x, statistics.median(values)) for x, values in sorted(points.items())]


def draw_curves(args):
    script = ["set terminal svg size 860,600 font 'sans,14' background '#ffffff'", f"set output '{args.curves}'", "set logscale x",
              "set xlabel 'forward evaluations per sample and layer'", "set ylabel 'test accuracy'", "set key below",
              "set grid", "set yrange [0.5:1]"]
    lines = []
    for number, (name, layer, title) in enumerate(CURVES):
        points = curve(args, name, layer)
        if not points:
            continue
        script += [f"$d{number} << end", *[f"{x} {y}" for x, y in points], "end"]
        look = f"lc rgb '{COLOURS[number % len(COLOURS)]}' dt {1 + number // len(COLOURS)}"
        lines.append(f"$d{number} with linespoints pt 7 ps 0.3 lw 2 {look} title '{title}'")
        shown = [points[i * (len(points) - 1) // 8] for i in range(9)] if len(points) > 9 else points
        print(f"| {title} | " + ", ".join(f"{x:.3g}: {y:.4f}" for x, y in shown) + " |")
    subprocess.run(["gnuplot"], input="\n".join([*script, "plot " + ", ".join(lines)]) + "\n", text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/ffzero")
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--runs", default="runs/results")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--seeds", type=int, default=0, help="at most this many seeds of each row")
    parser.add_argument("--choose", action="store_true", help="run the comparisons that chose the settings")
    parser.add_argument("--curves", metavar="FILE.svg", help="draw accuracy over evaluations")
    args = parser.parse_args()
    if args.curves:
        draw_curves(args)
        return
    for name in args.only or (CHOICES if args.choose else STUDIES):
        (show_choice if args.choose else show_row)(args, name)


if __name__ == "__main__":
    main()
