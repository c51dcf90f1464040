#!/usr/bin/env python3
"""The estimators of Python beside scikit-learn's: default settings, standardised features, five folds.

  PYTHONPATH=build/release/python tools/five_fold.py [NAME ..] [--seeds 3] [--json FILE] [--check]

Each number is the mean over the five folds of the score (accuracy or R^2) on the fold that was left out, then the median over seeds: seeds of the
network and of the folds. Classes: MLPClassifier stands beside; numbers: the better of MLPRegressor and RidgeCV. --check ends with 6 if a
row is further behind than asked: 0.02 of accuracy, 0.05 of R^2. Nothing is chosen by these scores. The rivals have their default settings but
for max_iter = 2000: with the default 200 passes MLPRegressor stops long before it has learned.
Needs NumPy, scikit-learn and the module ffzero; ends with 77 without them.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import statistics
import sys
import warnings

try:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import ffzero
    import tables
except ImportError as missing:
    print(f"skipped: needs NumPy, scikit-learn and the module ffzero; {missing}")
    sys.exit(77)


def rivals(classes, seed):
    if classes:
        return {"MLPClassifier": MLPClassifier(max_iter=2000, random_state=seed)}
    return {"MLPRegressor": MLPRegressor(max_iter=2000, random_state=seed), "RidgeCV": RidgeCV()}


def score(estimator, x, y, classes, seed):
    folds = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rivals that did not converge
        return float(cross_val_score(make_pipeline(StandardScaler(), estimator), x, y, cv=folds).mean())


def row(name, seeds):
    classes = name not in tables.NUMBERS
    x, y = tables.table(name)
    own = ffzero.Classifier if classes else ffzero.Regressor
    scores = {"ffzero": [score(own(random_state=s), x, y, classes, s) for s in range(seeds)]}
    for rival in rivals(classes, 0):
        scores[rival] = [score(rivals(classes, s)[rival], x, y, classes, s) for s in range(seeds)]
    median = {who: statistics.median(all_scores) for who, all_scores in scores.items()}
    best = max((who for who in median if who != "ffzero"), key=median.get)
    return {"table": name, "metric": "accuracy" if classes else "r2", "scores": scores, "median": median, "rival": best,
            "behind": median[best] - median["ffzero"], "allowed": tables.allowed(name, "default")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(tables.CHOSEN))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in tables.CHOSEN]:
        parser.error(f"unknown table {unknown[0]}; choose from {', '.join(tables.CHOSEN)}")
    print("| table | ffzero (lowest .. highest) | best rival | behind | allowed |\n|---|---|---|---|---|", flush=True)
    rows = []
    for name in arguments.names or tables.CHOSEN:
        r = row(name, arguments.seeds)
        rows.append(r)
        own = r["scores"]["ffzero"]
        print(f"| {name} | {r['median']['ffzero']:.3f} ({min(own):.3f} .. {max(own):.3f}) | {r['rival']} {r['median'][r['rival']]:.3f} "
              f"| {r['behind']:+.3f} | {r['allowed']:.2f} |", flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"seeds": arguments.seeds, "rows": rows}, file, indent=2)
    late = [r["table"] for r in rows if r["behind"] > r["allowed"]]
    if late and arguments.check:
        print(f"further behind than asked: {', '.join(late)}", file=sys.stderr)
        sys.exit(6)


if __name__ == "__main__":
    main()
