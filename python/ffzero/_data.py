"""Samples of a program's memory, as the module wants them."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from ._types import Array


def arrays_of(data: Any, task: str = "") -> Dict[str, Array]:
    """The arrays x_train, y_train and, if they are given, x_test and y_test of (X, y) or (X, y, X_test, y_test).

    task : classification, regression, or empty: whole numbers are classes, real ones targets
    """
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 4):
        raise ValueError("data: must be (X, y) or (X, y, X_test, y_test)")
    arrays: Dict[str, Array] = {}
    for name, x, y in zip(("train", "test"), data[0::2], data[1::2]):
        samples, labels = np.asarray(x), np.asarray(y)
        if samples.dtype.kind not in "biuf":
            raise TypeError(f"data: samples must be real numbers; got an array of dtype {samples.dtype}")
        if labels.dtype.kind not in "biuf":
            raise TypeError(f"data: labels must be numbers; got an array of dtype {labels.dtype}")
        if samples.ndim == 0 or labels.ndim == 0 or len(samples) != len(labels):
            raise ValueError(f"data: X and y must have as many samples; got shapes {samples.shape} and {labels.shape}")
        if samples.dtype != np.uint8 or samples.ndim == 2:
            samples = samples.astype(np.float32)
        classes = task == "classification" if task else labels.dtype.kind != "f"
        arrays["x_" + name] = np.ascontiguousarray(samples)
        arrays["y_" + name] = np.ascontiguousarray(labels.astype(np.int64 if classes else np.float64))
    return arrays


def with_test(arrays: Dict[str, Array]) -> Dict[str, Array]:
    """With test samples: every fifth of training, of every class alike, where there are none; the same ones each time."""
    if "x_test" in arrays:
        return arrays
    x, y = arrays["x_train"], arrays["y_train"]
    order = np.random.default_rng(0).permutation(len(y))
    if y.dtype.kind == "i":
        order = order[np.argsort(y[order].ravel(), kind="stable")]  # the samples of a class stand together
    test = np.zeros(len(y), dtype=bool)
    test[order[2::5]] = True
    if not test.any():
        raise ValueError(f"data: needs at least 3 samples, of which some are set aside for testing; got {len(y)}")
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}
