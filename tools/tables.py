#!/usr/bin/env python3
"""Small tables: default settings, exact local gradients and outputs only, beside scikit-learn.

  tools/tables.py make DIR [NAME ..]                 writes DIR/NAME.npz: features as they are, a third of the samples for testing
  tools/tables.py measure DIR [NAME ..] --binary build/release/ffzero [--seeds 5] [--solvers default,ff_ad,ff_dd] [--check]
                                                     trains on them and prints the medians of the test metric, as Markdown
  tools/tables.py measure DIR .. --folds             the same by 3-fold cross-validation inside the train parts, where settings are chosen:
                                                     the test parts stay untouched; --set and --config pass settings on

The rivals stand on the same splits, with standardised features: MLPClassifier for classes; the better of RidgeCV and MLPRegressor for
numbers. --check ends with 6 if a median is further behind than asked: 0.02 for classes (ff_dd 0.04), 0.05 of R^2 (ff_dd 0.10).
Needs NumPy and scikit-learn; ends with 77 without them.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    from sklearn import datasets
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler
except ImportError as missing:
    print(f"skipped: needs NumPy and scikit-learn; {missing}")
    sys.exit(77)

CHOSEN = ["iris", "wine", "breast_cancer", "digits", "diabetes", "friedman1"]


def sparse_linear(n, features, used, noise, seed):
    """A few features count; noise in standard deviations of what they give."""
    random = np.random.default_rng(seed)
    x, w = random.normal(size=(n, features)), np.zeros(features)
    w[:used] = random.normal(size=used)
    return x, x @ w + noise * np.sqrt((w**2).sum()) * random.normal(size=n)


def steps(n, seed):
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, size=(n, 6))
    return x, np.where(x[:, 0] > 0, 1.0, 0) + 0.5 * np.abs(x[:, 1]) * (x[:, 2] > 0.3) + 0.2 * random.normal(size=n)


def heavy_tails(n, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 8))
    return x, x[:, 0] - 0.5 * x[:, 1] + 0.5 * random.standard_t(2.5, size=n)


def sines(n, seed):
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, size=(n, 4))
    return x, np.sin(3 * x[:, 0]) + np.sin(3 * x[:, 1]) * x[:, 2] + 0.1 * random.normal(size=n)


# Further tables that were made, so that settings are not fitted to six of them. name: (maker, options)
MADE = {
    "friedman1": (datasets.make_friedman1, {"n_samples": 500, "noise": 1.0, "random_state": 0}),
    "moons_50": (datasets.make_moons, {"n_samples": 75, "noise": 0.25, "random_state": 1}),
    "moons": (datasets.make_moons, {"n_samples": 1500, "noise": 0.25, "random_state": 1}),
    "classes_50": (datasets.make_classification, {"n_samples": 75, "n_features": 20, "n_informative": 5, "class_sep": 1.5, "random_state": 2}),
    "classes": (
        datasets.make_classification,
        {"n_samples": 3000, "n_features": 30, "n_informative": 10, "n_classes": 5, "random_state": 3},
    ),
    "classes_30": (
        datasets.make_classification,
        {
            "n_samples": 4500,
            "n_features": 40,
            "n_informative": 15,
            "n_classes": 30,
            "n_clusters_per_class": 1,
            "random_state": 4,
        },
    ),
    "imbalanced": (
        datasets.make_classification,
        {"n_samples": 1500, "n_informative": 6, "weights": [0.95], "random_state": 5},
    ),
    "wide": (
        datasets.make_classification,
        {"n_samples": 300, "n_features": 10000, "n_informative": 50, "n_redundant": 100, "class_sep": 3.0, "random_state": 6},
    ),
    "linear_50": (datasets.make_regression, {"n_samples": 75, "n_features": 8, "n_informative": 4, "noise": 10, "random_state": 8}),
    "linear": (datasets.make_regression, {"n_samples": 1500, "n_features": 20, "noise": 30, "random_state": 9}),
    "friedman2": (datasets.make_friedman2, {"n_samples": 800, "noise": 50, "random_state": 10}),
    "friedman3": (datasets.make_friedman3, {"n_samples": 800, "noise": 0.1, "random_state": 11}),
    "sparse_120": (sparse_linear, {"n": 180, "features": 20, "used": 3, "noise": 1.0, "seed": 1}),
    "sparse_400": (sparse_linear, {"n": 600, "features": 50, "used": 5, "noise": 0.7, "seed": 2}),
    "weak_300": (sparse_linear, {"n": 450, "features": 10, "used": 10, "noise": 2.0, "seed": 3}),
    "steps": (steps, {"n": 600, "seed": 4}),
    "heavy": (heavy_tails, {"n": 500, "seed": 5}),
    "sines": (sines, {"n": 900, "seed": 6}),
    "friedman1_noisy": (datasets.make_friedman1, {"n_samples": 450, "noise": 4.0, "random_state": 21}),
    "friedman1_clean": (datasets.make_friedman1, {"n_samples": 1200, "noise": 0.3, "random_state": 22}),
    "friedman2_small": (datasets.make_friedman2, {"n_samples": 240, "noise": 100, "random_state": 23}),
}
NUMBERS = {"diabetes", "friedman1", "linear_50", "linear", "friedman2", "friedman3", "sparse_120", "sparse_400", "weak_300"}
NUMBERS |= {"steps", "heavy", "sines", "friedman1_noisy", "friedman1_clean", "friedman2_small"}


def table(name):
    if name in MADE:
        maker, options = MADE[name]
        return maker(**options)
    return getattr(datasets, "load_" + name)(return_X_y=True)


def parts(name):
    """x_train, y_train, x_test, y_test."""
    x, y = table(name)
    y = y.astype(np.float64 if name in NUMBERS else np.int64)
    a, c, b, d = train_test_split(x, y, test_size=1 / 3, random_state=0, stratify=None if name in NUMBERS else y)
    return a, b, c, d


def write(file, arrays):
    np.savez(file, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays)))


def problems(name, folds):
    """(seed, arrays): one problem for all seeds, or one a fold."""
    a, b, c, d = parts(name)
    if not folds:
        return [(a, b, c, d)]
    cut = KFold if name in NUMBERS else StratifiedKFold
    return [(a[i], b[i], a[j], b[j]) for i, j in cut(3, shuffle=True, random_state=1).split(a, b)]


def rival(name, arrays, seed):
    a, b, c, d = arrays
    scaler = StandardScaler().fit(a)
    a, c = scaler.transform(a), scaler.transform(c)
    if name not in NUMBERS:
        return MLPClassifier(max_iter=1000, random_state=seed).fit(a, b).score(c, d)
    return MLPRegressor(max_iter=2000, random_state=seed).fit(a, b).score(c, d), RidgeCV(np.logspace(-3, 3, 13)).fit(a, b).score(c, d)


def train(binary, file, solver, seed, folder, more):
    command = [binary, "train", *more, "--dataset", "npz", "--data-dir", file, "--seed", str(seed), "--out", folder, "--quiet", "--no-report"]
    command += ["--set", "training.log_test=false", "--set", "training.log_samples=0"]
    command += ["--set", "dataset.task=" + ("regression" if name_of(file) in NUMBERS else "classification")]
    command += [] if solver == "default" else ["--solver", solver]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name_of(file)}, {solver}, seed {seed}: {done.stderr.strip()}")
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["final"]["test"]


def name_of(file):
    return pathlib.Path(file).stem


def allowed(name, solver):
    if name in NUMBERS:
        return 0.10 if solver == "ff_dd" else 0.05
    return 0.04 if solver == "ff_dd" else 0.02


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f} .. {max(values):.3f})"


def measure(options, work):
    solvers = options.solvers.split(",")
    print("| table | train samples | features | " + " | ".join(solvers) + " | scikit-learn |")
    print("|---|---|---|" + "---|" * (len(solvers) + 1))
    behind = []
    for name in options.names or CHOSEN:
        cases = problems(name, options.folds)
        seeds = range(len(cases) if options.folds else options.seeds)
        rivals, results = [], {solver: [] for solver in solvers}
        for seed in seeds:
            arrays = cases[seed if options.folds else 0]
            file = work / f"{name}.npz"
            write(file, arrays)
            rivals.append(rival(name, arrays, seed))
            for solver in solvers:
                results[solver].append(train(options.binary, file, solver, seed, work / f"{name}-{solver}-{seed}", options.more))
        if name in NUMBERS:
            networks, lines = zip(*rivals)
            rivals = list(networks if statistics.median(networks) > statistics.median(lines) else lines)
        row = [name, str(len(cases[0][0])), str(cases[0][0].shape[1])] + [spread(results[s]) for s in solvers] + [spread(rivals)]
        print("| " + " | ".join(row) + " |", flush=True)
        for solver in solvers:
            lag = statistics.median(rivals) - statistics.median(results[solver])
            if lag > allowed(name, solver) + 1e-9:
                behind.append(f"{name}, {solver}: {lag:.3f} behind, allowed are {allowed(name, solver)}")
    for line in behind:
        print(line)
    return 6 if behind and options.check else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "measure"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--solvers", default="default,ff_ad,ff_dd")
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--set", dest="more", action="append", default=[], help="passed on to ffzero train")
    parser.add_argument("--config", type=pathlib.Path, help="settings in TOML for ffzero train")
    options = parser.parse_args()
    options.more = [word for pair in options.more for word in ("--set", pair)]
    options.more += [] if options.config is None else [options.config]
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.what == "make":
        for name in options.names or CHOSEN:
            write(options.folder / f"{name}.npz", parts(name))
        return 0
    if options.binary is None:
        parser.error("measure needs --binary")
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        return measure(options, pathlib.Path(work))


if __name__ == "__main__":
    sys.exit(main())
