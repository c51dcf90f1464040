#!/usr/bin/env python3
"""How the time of a step and the memory of `ffzero train` grow with the size of the work: ports, widths, directions, classes, samples; on one
thread and on two.

  scaling.py --binary build/release/ffzero --out bench/baselines/<machine>-scaling.json [--figure docs/figures/scaling.svg]
  scaling.py --table bench/baselines/<machine>-scaling.json [--figure FILE]      the tables of docs/benchmarks.md, and the figure (gnuplot)

Data are random bytes with classes by turns, the same each time: nothing is to be learned, and a step does the same work as on pictures of that
size. Each point is the median of repetitions that take turns over all points of its axis. Seconds of a step: those between the first epoch and
the last, over their steps, without a look at test samples. The exponent of a curve is the slope of its logarithm, by least squares over its last
four points, where what does not grow counts least. Run it on a quiet machine. Needs NumPy.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import ffzero_runs  # noqa: E402

BATCH = 256
ENOUGH_S = 0.4  # of steps that are timed in one run: more epochs until then
FIT = 4         # points of a curve that its exponent is fitted to
COMMON = ["--preset", "paper", "--solver", "ff_dd", "--batch-size", str(BATCH), "--set", "training.log_samples=0", "--set", "training.log_test=false"]


class Axis:
    """One quantity that grows. data(x): samples, features, classes; arguments(x): what `ffzero train` gets; terms: what a step does, in words."""

    def __init__(self, name, title, sizes, data, arguments, terms):
        self.name, self.title, self.sizes, self.data, self.arguments, self.terms = name, title, sizes, data, arguments, terms


AXES = [
    Axis("ports", "ports of a mesh", [16, 32, 64, 128, 256, 512, 1024], lambda n: (2048, n, 10),
         lambda n: ["--model", "photonic", "--layers", "1"], "n (n - 1) / 2 interferometers a sample"),
    Axis("width", "units of a dense layer behind 784 inputs", [100, 200, 500, 1000, 2000, 5000, 10000], lambda w: (2048, 784, 10),
         lambda w: ["--layers", str(w)], "784 w multiply-adds a sample, 785 w random numbers a step"),
    Axis("directions", "directions m of a step (784 inputs, 100 units)", [1, 2, 4, 8, 16, 32, 64, 128, 256], lambda m: (2048, 784, 10),
         lambda m: ["--layers", "100", "--directions", str(m)], "(1 + m) 78,400 multiply-adds a sample, 78,500 m random numbers a step"),
    Axis("classes", "classes (784 inputs, 1000 units)", [2, 10, 30, 100, 300, 1000], lambda k: (4096, 784, k),
         lambda k: ["--layers", "1000"], "784,000 multiply-adds a sample for the layer, 1000 k for its head"),
    Axis("samples", "training samples (64 inputs, 100 units): a whole epoch", [1000, 3000, 10000, 30000, 100000, 300000, 1000000],
         lambda n: (n, 64, 10), lambda n: ["--layers", "100"], "n / 256 steps"),
]


def write_data(path, samples, features, classes):
    """In a process of its own: what a program held before it started another one counts as memory of that one, too."""
    subprocess.run([sys.executable, __file__, "--make-data", path, *map(str, (samples, features, classes))], check=True)


def make_data(path, samples, features, classes):
    import numpy as np  # pylint: disable=import-outside-toplevel  # see write_data
    random = np.random.default_rng(samples + 31 * features + 1009 * classes)
    few = max(classes, 64)
    np.savez(path, x_train=random.integers(0, 256, (samples, features), dtype=np.uint8), y_train=(np.arange(samples) % classes).astype(np.int32),
             x_test=random.integers(0, 256, (few, features), dtype=np.uint8), y_test=(np.arange(few) % classes).astype(np.int32))


class Point:
    """One size on one number of threads: how many epochs are enough is found once, then it is repeated."""

    def __init__(self, axis, size, threads, options):
        self.axis, self.size, self.threads, self.options, self.epochs = axis, size, threads, options, 3
        samples, features, classes = axis.data(size)
        self.steps = math.ceil(samples / BATCH)
        self.file = options.folder / f"{samples}_{features}_{classes}.npz"
        if not self.file.exists():
            write_data(self.file, samples, features, classes)

    def run(self):
        words = ["--dataset", "npz", "--data-dir", str(self.file), *COMMON, *self.axis.arguments(self.size), "--epochs", str(self.epochs)]
        run = ffzero_runs.train(self.options.binary, words, self.threads)
        lines = run["epochs"]
        return {"epoch_s": (lines[-1]["wall_s"] - lines[0]["wall_s"]) / (len(lines) - 1), "memory": run["memory"]}

    def measure(self):
        found = self.run()
        if self.epochs == 3 and 2 * found["epoch_s"] < ENOUGH_S:
            self.epochs = 1 + math.ceil(ENOUGH_S / max(found["epoch_s"], 1e-4))
            found = self.run()
        return found


def exponent(sizes, values):
    """Slope of log value over log size at the last sizes."""
    points = [(math.log(s), math.log(v)) for s, v in zip(sizes, values)][-FIT:]
    x, y = (statistics.mean(p[k] for p in points) for k in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def run(options):
    result = {"command": ffzero_runs.command_of("bench/scaling/scaling.py"), "machine": ffzero_runs.machine(), "batch": BATCH, "axes": {}}
    for axis in (a for a in AXES if options.only in a.name):
        points = [Point(axis, size, threads, options) for size in axis.sizes for threads in options.threads]
        rows = [{"size": p.size, "threads": p.threads, "steps": p.steps, "epoch_s": [], "memory": []} for p in points]
        for repetition in range(options.repetitions):
            for point, row in zip(points, rows):
                found = point.measure()
                row["epoch_s"].append(found["epoch_s"])
                row["memory"].append(found["memory"])
                row["epochs"] = point.epochs
                print(f"{axis.name} {point.size}, {point.threads} thread(s), {repetition + 1}/{options.repetitions}: {found['epoch_s']:.4g} s an epoch, "
                      f"{found['memory'] / 2**20:.0f} MiB", file=sys.stderr, flush=True)
        result["axes"][axis.name] = rows
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return result


# ---- Tables and figure --------------------------------------------------------------------------------------------------------------------


def curve(rows, threads, what, by_epoch):
    """[(size, median)] of one number of threads: milliseconds of a step (or of an epoch), or MiB."""
    scale = {"epoch_s": 1e3, "memory": 1 / 2**20}[what]
    return [(r["size"], scale * statistics.median(r[what]) / (1 if by_epoch or what == "memory" else r["steps"])) for r in rows if r["threads"] == threads]


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def print_tables(result):
    print(f"{result['machine']['processor']} ({result['machine']['vectors']}), batch {result['batch']}, medians of "
          f"{max(len(r['epoch_s']) for rows in result['axes'].values() for r in rows)} interleaved repetitions.")
    for axis in (a for a in AXES if a.name in result["axes"]):
        rows, by_epoch = result["axes"][axis.name], axis.name == "samples"
        counts = sorted({r["threads"] for r in rows})
        times = {t: curve(rows, t, "epoch_s", by_epoch) for t in counts}
        memory = curve(rows, counts[0], "memory", by_epoch)
        print(f"\n**{axis.title[0].upper()}{axis.title[1:]}**; the work: {axis.terms}.\n")
        print(f"| {axis.name} | " + " | ".join(f"{n} thread{'s' * (n > 1)}, ms" for n in counts) + (" | gain" if len(counts) > 1 else "") + " | memory, MiB |")
        print("|---" * (len(counts) + 2 + (len(counts) > 1)) + "|")
        for k, (size, mebibytes) in enumerate(memory):
            cells = [number(times[t][k][1]) for t in counts] + ([f"{times[counts[0]][k][1] / times[counts[-1]][k][1]:.2f}"] if len(counts) > 1 else [])
            print(f"| {size:,} | " + " | ".join(cells) + f" | {mebibytes:.0f} |")
        slopes = [f"{exponent(*zip(*times[t])):.2f}" for t in counts] + ([""] if len(counts) > 1 else [])
        print("| exponent | " + " | ".join(slopes) + f" | {exponent(*zip(*memory)):.2f} |")


def draw(result, path):
    """One panel an axis, all scales logarithmic: time over size, a line for each number of threads, and memory at the right."""
    axes = [a for a in AXES if a.name in result["axes"]]
    columns = min(3, len(axes))
    lines = ["set terminal svg size %d,%d font 'sans-serif,12' background '#ffffff'" % (380 * columns, 340 * math.ceil(len(axes) / columns)),
             f"set output '{path}'", f"set multiplot layout {math.ceil(len(axes) / columns)},{columns}", "set logscale xyy2", "set grid lc '#dddddd'",
             "set key below samplen 2", "set format y '%g'", "set format y2 '%g'", "set format x '10^{%L}'", "set ytics nomirror", "set y2tics",
             "set y2range [10:1000]", "set y2label 'MiB'"]
    for axis in axes:
        rows, by_epoch = result["axes"][axis.name], axis.name == "samples"
        parts = []
        counts = sorted({r["threads"] for r in rows})
        for k, threads in enumerate(counts):
            points = curve(rows, threads, "epoch_s", by_epoch)
            lines += [f"${axis.name}{threads} << E", *(f"{x} {y}" for x, y in points), "E"]
            title = f"{threads} thread{'s' * (threads > 1)}: {exponent(*zip(*points)):.2f}"
            parts.append(f"${axis.name}{threads} with linespoints pt 7 ps 0.4 lw 2 lc '{('#1f6f8b', '#d1495b')[k % 2]}' title '{title}'")
        memory = curve(rows, counts[0], "memory", by_epoch)
        lines += [f"${axis.name}M << E", *(f"{x} {y}" for x, y in memory), "E"]
        parts.append(f"${axis.name}M axes x1y2 with lines dt 2 lw 1.5 lc '#777777' title 'memory: {exponent(*zip(*memory)):.2f}'")
        lines += [f"set xlabel '{axis.name}'", f"set ylabel 'ms {'an epoch' if by_epoch else 'a step'}'", "plot " + ", ".join(parts)]
    subprocess.run(["gnuplot"], input="\n".join(lines) + "\n", text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/ffzero")
    parser.add_argument("--out", default="bench/baselines/scaling.json")
    parser.add_argument("--table", help="print the tables of an earlier run and do nothing else")
    parser.add_argument("--make-data", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--figure", help="draw the curves into this SVG file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", default="", help="axes whose name contains this text: " + ", ".join(a.name for a in AXES))
    options = parser.parse_args()
    if options.make_data:
        return make_data(options.make_data[0], *map(int, options.make_data[1:]))
    if options.table:
        result = json.loads(pathlib.Path(options.table).read_text())
    else:
        with tempfile.TemporaryDirectory() as folder:
            options.folder = pathlib.Path(folder)
            result = run(options)
    print_tables(result)
    if options.figure:
        draw(result, options.figure)
    return None


if __name__ == "__main__":
    main()
