#!/usr/bin/env python3
"""One parameter vector for six chips against one each, on a seventh chip that no training has seen.

  tools/rack.py [--ffzero PROGRAM] [--chips 6] [--seeds 5] [--first 0] [--epochs N] [--equal total|chip] [--imperfect TEXT] [--json FILE]

Chips are `ffzero device serve` with errors of their own: chip c of seed s is drawn from number 1000 s + c. Per seed the same settings train once on
all chips (--replicas) and once on each alone; all are then evaluated on the unseen chip (number 1000 s, test set), and on the chips that they were
trained on. --equal total: every training has as many forward evaluations, so each of the chips that share a vector gives a part of them.
--equal chip: every chip gives as many in either way, as where the chips of a rack work side by side for the same time; the shared vector then has
those of all chips, by as many times the epochs (which --epochs must say). Settings and seeds were fixed before any of the numbers was looked at; the
data are the built-in glyphs, so nothing is downloaded. Ends with 6 if the shared vector is not better on the unseen chip, in the mean over seeds, than the
mean of the single ones.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

# Dense chips: amplifiers and detectors of outputs that differ, a few dead, parameters that cannot be moved, read noise.
IMPERFECT = "gain = 0.2, offset = 0.2, dead = 0.1, stuck = 0.05, read_noise = 0.02"


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)

    def chip(self, seed, number):
        return (f"exec:'{self.options.ffzero}' device serve --inputs 49 --outputs 32 "
                f"--imperfect '{self.options.imperfect}, seed = {1000 * seed + number}'")

    def ffzero(self, *words):
        done = subprocess.run([self.options.ffzero, *words], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"ffzero {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def share(self, numbers):
        """How many times the evaluations of a single chip's training one on these chips has."""
        return len(numbers) if self.options.equal == "chip" else 1

    def train(self, seed, numbers):
        """A run folder, and its forward evaluations of training."""
        out = self.folder / f"seed{seed}-chips{'_'.join(map(str, numbers))}"
        words = ["train", "--dataset", "glyphs", "--set", "dataset.downsample=7", "--seed", str(seed), "--quiet", "--no-report",
                 "--threads", "1", "--replicas", str(len(numbers)), "--out", str(out)]
        if self.options.epochs:
            words += ["--epochs", str(self.options.epochs * self.share(numbers))]
        for number in numbers:
            words += ["--device", self.chip(seed, number)]
        self.ffzero(*words)
        summary = json.loads((out / "summary.json").read_text())
        return out, summary["forward_evals"]["training"]

    def accuracy(self, run, seed, number):
        """Of the last layer on the test set, on this chip."""
        return json.loads(self.ffzero("eval", str(run), "--device", self.chip(seed, number), "--threads", "1", "--json"))["layers"][-1]["value"]

    def seed(self, seed):
        numbers = list(range(1, self.options.chips + 1))
        shared, evaluations = self.train(seed, numbers)
        row = {"seed": seed, "forward_evals": evaluations, "shared": self.accuracy(shared, seed, 0),
               "shared_on_its_own": [self.accuracy(shared, seed, n) for n in numbers], "single": [], "single_on_its_own": []}
        for number in numbers:
            run, own_evaluations = self.train(seed, [number])
            if own_evaluations * self.share(numbers) != evaluations:
                sys.exit(f"unequal numbers of evaluations: {evaluations} for {self.share(numbers)} times {own_evaluations}")
            row["single"].append(self.accuracy(run, seed, 0))
            row["single_on_its_own"].append(self.accuracy(run, seed, number))
        return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--ffzero", default="build/release/ffzero")
    parser.add_argument("--chips", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--epochs", type=int, default=0, help="0: those of the preset")
    parser.add_argument("--equal", choices=["total", "chip"], default="total", help="what is equal: all evaluations, or those of each chip")
    parser.add_argument("--imperfect", default=IMPERFECT)
    parser.add_argument("--json", help="file for all numbers")
    options = parser.parse_args()
    if options.equal == "chip" and not options.epochs:
        parser.error("--equal chip needs --epochs: those of a chip that is trained alone")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        print("accuracy on the unseen chip     and on the chips of the training\n"
              "seed  shared  single (worst .. best)     shared  single   forward evaluations")
        for seed in range(options.first, options.first + options.seeds):
            row = bench.seed(seed)
            rows.append(row)
            print(f"{seed:4}  {row['shared']:.4f}  {statistics.mean(row['single']):.4f} ({min(row['single']):.4f} .. {max(row['single']):.4f})  "
                  f"{statistics.mean(row['shared_on_its_own']):.4f}  {statistics.mean(row['single_on_its_own']):.4f}  {row['forward_evals']}",
                  flush=True)
    mean = {who: statistics.mean(statistics.mean(r[who]) if isinstance(r[who], list) else r[who] for r in rows)
            for who in ("shared", "single", "shared_on_its_own", "single_on_its_own")}
    best = statistics.mean(max(r["single"]) for r in rows)
    print(f"mean  {mean['shared']:.4f}  {mean['single']:.4f} (best of each seed {best:.4f})  "
          f"{mean['shared_on_its_own']:.4f}  {mean['single_on_its_own']:.4f}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"imperfect": options.imperfect, "equal": options.equal, "seeds": rows, "mean": mean}, indent=2) + "\n")
    return 0 if mean["shared"] > mean["single"] else 6


if __name__ == "__main__":
    sys.exit(main())
