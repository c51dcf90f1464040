# %% [markdown]
# Estimators at the same number of forward evaluations: how much each makes of what a device would be billed.
#
#   python3 python/examples/equal_evaluations.py [FIGURE.svg]
# SPDX-License-Identifier: MIT

# %%
import sys
from typing import Any, Dict, List

import numpy as np

import ffzero

images, digits, test_images, test_digits = ffzero.make_glyphs(1, 1500, 500)
BUDGETS = [20_000, 60_000, 200_000]
ESTIMATORS: Dict[str, Dict[str, Any]] = {
    "one loss, 1 direction": {"preset": "opaque"},
    "one loss, 8 directions": {"preset": "opaque", "gradient.directions": 8},
    "a loss for each group": {"preset": "grouped"},
    "activities (default)": {},
}

# %%
# Three seeds each; the budget ends the training wherever it stands.
results: Dict[str, List[float]] = {}
for name, settings in ESTIMATORS.items():
    results[name] = []
    for budget in BUDGETS:
        scores = []
        for seed in range(3):
            keys = {**settings, "budget.forward_evals": budget, "dataset.downsample": 14}
            net = ffzero.Classifier(layers=[64], epochs=200, random_state=seed, config=keys).fit(images, digits)
            assert net.forward_evals_ <= budget
            scores.append(net.score(test_images, test_digits))
        results[name].append(float(np.median(scores)))

# %%
print(f"{'evaluations':<26}" + "".join(f"{budget:>10,}" for budget in BUDGETS))
for name, medians in results.items():
    print(f"{name:<26}" + "".join(f"{value:10.3f}" for value in medians))

# %%
# With matplotlib, the same as a figure.
try:
    import matplotlib  # type: ignore[import]
except ImportError:
    print("no figure: matplotlib is not installed")
else:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name, medians in results.items():
        pyplot.plot(BUDGETS, medians, marker="o", label=name)
    pyplot.xscale("log")
    pyplot.xlabel("forward evaluations of training")
    pyplot.ylabel("test accuracy, median of three seeds")
    pyplot.legend()
    pyplot.savefig(sys.argv[1] if len(sys.argv) > 1 else "equal_evaluations.svg")
