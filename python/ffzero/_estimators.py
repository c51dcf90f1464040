"""Classifier and Regressor: scikit-learn's contract on networks that are trained with forward evaluations only."""
# mypy: warn-unused-ignores=False

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Mapping
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from . import _core
from ._device import Device, cores_of
from ._interrupts import Interrupts
from ._settings import overrides_of, toml_text
from ._types import Array

try:
    from sklearn.base import BaseEstimator as _Base  # type: ignore[import]
    from sklearn.base import ClassifierMixin as _ClassifierMixin
    from sklearn.base import RegressorMixin as _RegressorMixin
    from sklearn.exceptions import ConvergenceWarning, NotFittedError  # type: ignore[import]
    from sklearn.utils.validation import check_array as _check_array  # type: ignore[import]
    from sklearn.utils.validation import check_consistent_length, column_or_1d
except ImportError:  # what is needed of it when it is not there

    class ConvergenceWarning(UserWarning):  # type: ignore[no-redef]
        """Training ended before there was much to expect of it."""

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """Asked before fit."""

    class _Base:  # type: ignore[no-redef]
        @classmethod
        def _names(cls) -> List[str]:
            code = cls.__init__.__code__
            return sorted(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])

        def get_params(self, deep: bool = True) -> Dict[str, Any]:
            """The arguments of the constructor."""
            return {name: getattr(self, name) for name in self._names()}

        def set_params(self, **params: Any) -> "_Base":
            """Changes arguments of the constructor. Raises ValueError for unknown ones."""
            for name, value in params.items():
                if name not in self._names():
                    raise ValueError(f"Invalid parameter {name!r} for estimator {type(self).__name__}")
                setattr(self, name, value)
            return self

        def __repr__(self) -> str:
            return f"{type(self).__name__}()"

    class _ClassifierMixin:  # type: ignore[no-redef]
        _estimator_type = "classifier"

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """Share of right answers."""
            return float(np.average(self.predict(X) == np.asarray(y), weights=sample_weight))  # type: ignore[attr-defined]

    class _RegressorMixin:  # type: ignore[no-redef]
        _estimator_type = "regressor"

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """R^2."""
            y = np.asarray(y, dtype=float)
            off, spread = y - self.predict(X), y - np.average(y, axis=0, weights=sample_weight)  # type: ignore[attr-defined]
            return float(1.0 - np.average(off**2, weights=sample_weight) / np.average(spread**2, weights=sample_weight))

    def _check_array(X: Any, dtype: Any = None, ensure_min_samples: int = 1, **_: Any) -> Array:  # type: ignore[misc]
        array = np.asarray(X)
        if array.dtype.kind not in "biuf":
            if np.iscomplexobj(array):
                raise ValueError("Complex data not supported")
            array = array.astype(float)
        if array.ndim != 2:
            raise ValueError(f"Expected 2D array, got {array.ndim}D array instead. Reshape your data.")
        if array.shape[0] < ensure_min_samples or array.shape[1] < 1:
            raise ValueError(f"needs at least {ensure_min_samples} samples of at least one feature; got an array of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("Input X contains NaN or infinity.")
        return array if dtype is None or array.dtype in np.atleast_1d(dtype) else array.astype(np.atleast_1d(dtype)[0])

    def check_consistent_length(*arrays: Any) -> None:  # type: ignore[misc]
        lengths = {len(a) for a in arrays if a is not None}
        if len(lengths) > 1:
            raise ValueError(f"Found input variables with inconsistent numbers of samples: {sorted(lengths)}")

    def column_or_1d(y: Any, warn: bool = False) -> Array:  # type: ignore[misc]
        array = np.asarray(y)
        if array.ndim == 2 and array.shape[1] == 1:
            if warn:
                warnings.warn("A column-vector y was passed when a 1d array was expected.", UserWarning, stacklevel=2)
            return array.ravel()
        if array.ndim != 1:
            raise ValueError(f"y should be a 1d array, got an array of shape {array.shape} instead.")
        return array


def _seed_of(random_state: Any) -> int:
    if random_state is None:
        return int(np.random.mtrand._rand.randint(2**31 - 1))
    if hasattr(random_state, "randint"):
        return int(random_state.randint(2**31 - 1))
    if hasattr(random_state, "integers"):
        return int(random_state.integers(2**31 - 1))
    return int(random_state)


def _samples(X: Any, least: int) -> Array:
    """(N, F) numbers as float32; pixels (N, H, W) or (N, C, H, W) of bytes stay bytes."""
    if getattr(X, "ndim", 2) in (3, 4) and getattr(X, "dtype", None) is not None:
        images = np.ascontiguousarray(X)
        if images.shape[0] < least:
            raise ValueError(f"needs at least {least} samples; got n_samples = {images.shape[0]}")
        if images.dtype == np.uint8:
            return images
        if images.dtype.kind not in "biuf" or not np.isfinite(images).all():
            raise ValueError("images must be finite real numbers, or bytes")
        return images.astype(np.float32)
    return np.ascontiguousarray(_check_array(X, dtype=[np.float32], ensure_min_samples=least), dtype=np.float32)


def _hashed(rows: Array, start: Array) -> Array:
    """A 64-bit number for each row, from its bytes."""
    data = np.ascontiguousarray(rows.reshape(len(rows), -1)).view(np.uint8).reshape(len(rows), -1)
    data = np.pad(data, ((0, 0), (0, -data.shape[1] % 4))).view(np.uint32)
    number = start.copy()
    with np.errstate(over="ignore"):
        for column in data.T:
            number = (number ^ column) * np.uint64(0x9E3779B97F4A7C15)
            number ^= number >> np.uint64(29)
    return number


def _order(*arrays: Optional[Array]) -> Array:
    """An order of the samples that depends on what they are and not on where they stand, so that the order of the rows does not matter."""
    number = np.zeros(len(arrays[0]), np.uint64)  # type: ignore[arg-type]
    for array in arrays:
        if array is not None:
            number = _hashed(array, number)
    return np.argsort(number, kind="stable")


def _weighted(samples: Array, y: Array, sample_weight: Any) -> "tuple[Array, Array, Optional[Array]]":
    """Without the samples whose weight is 0: they are as good as not there."""
    if sample_weight is None:
        return samples, y, None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight: must be one finite number for each sample, not negative")
    kept = weights > 0
    if not kept.any():
        raise ValueError("sample_weight: must be more than 0 for some sample")
    return samples[kept], y[kept], None if (weights[kept] == weights[kept][0]).all() else weights[kept]


class _Network(_Base):  # type: ignore[misc]
    """What both estimators share."""

    _task: str
    _model: "_core.Model"

    def __init__(
        self,
        layers: Any = "auto",
        *,
        preset: str = "default",
        epochs: Any = "auto",
        devices: Optional[Sequence[Device]] = None,
        config: Any = None,
        threads: int = 0,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.layers = layers
        self.preset = preset
        self.epochs = epochs
        self.devices = devices
        self.config = config
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    def _keys(self) -> Dict[str, Any]:
        keys: Dict[str, Any] = {"dataset.name": "memory", "training.log_test": False, "training.log_samples": 0}
        if isinstance(self.layers, str):
            if self.layers != "auto":
                raise ValueError(f"layers: must be 'auto' or a list of widths; got {self.layers!r}")
        else:
            keys["model.layers"] = [int(n) for n in np.atleast_1d(self.layers)]
        if self.preset != "default":
            keys["preset"] = self.preset
        if isinstance(self.epochs, str):
            if self.epochs != "auto":
                raise ValueError(f"epochs: must be 'auto' or a number; got {self.epochs!r}")
        else:
            keys["training.epochs"] = int(self.epochs)
        keys["seed"] = _seed_of(self.random_state)
        return keys

    def _fit(self, X: Array, y: Array, sample_weight: Optional[Array]) -> None:
        order = _order(X, y, sample_weight)
        arrays: Dict[str, Array] = {"x_train": X[order], "y_train": y[order]}
        if sample_weight is not None:
            arrays["w_train"] = sample_weight[order]
        config = self.config if isinstance(self.config, Mapping) else None
        overrides = overrides_of(self._keys(), config)
        self._devices = cores_of(self.devices)
        if self._devices and not any(key == "model.layers" for key, _ in overrides):
            overrides += overrides_of({"model.layers": []})
        if self._task == "regression":
            overrides = overrides_of({"dataset.task": "regression"}) + overrides
        on_epoch = self._print_epoch if self.verbose else None
        text = toml_text(self.config)
        with Interrupts() as interrupts:
            self._model = _core.fit(text, overrides, arrays, self._task, self._devices, int(self.threads), on_epoch, interrupts.requested)
        self._shape = X.shape[1:]
        self.n_features_in_ = int(np.prod(self._shape))
        self.n_iter_ = max(1, int(self._model.epochs))
        self.forward_evals_ = int(self._model.forward_evals)
        self.summary_ = json.loads(self._model.summary)
        self._warn_of_few_steps(len(X))

    def _warn_of_few_steps(self, samples: int) -> None:
        """A warning below a twentieth of the steps that epochs="auto" takes at least."""
        steps, fewest = int(self._model.steps), int(self._model.fewest_steps)
        if 20 * steps >= fewest or steps == 0:
            return
        epochs = int(self.summary_["epochs"])
        warnings.warn(
            f"{type(self).__name__} has trained each layer for {steps} steps ({epochs} epochs), where {samples} samples usually take {fewest}: "
            f'it is most likely undertrained; use epochs="auto", or epochs={-(-fewest * epochs // steps)}',
            ConvergenceWarning,
            stacklevel=4,
        )

    def _print_epoch(self, text: str) -> None:
        record = json.loads(text)
        if record["epoch"] % max(1, int(self.verbose)) == 0:
            print(f"{record['layer']} epoch {record['epoch']}: loss {record['loss']:.4g}")

    def _ask(self, X: Any) -> Dict[str, Any]:
        if not hasattr(self, "_model"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments first.")
        samples = _samples(X, 1)
        if samples.ndim > 2 or len(self._shape) > 1:
            if samples.shape[1:] != tuple(self._shape) and samples.shape[1:] != (self.n_features_in_,):
                raise ValueError(f"X has samples of shape {samples.shape[1:]}, but {type(self).__name__} is expecting {tuple(self._shape)}")
            samples = samples.reshape(len(samples), -1)
        if samples.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {samples.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input"
            )
        return self._model.predict(samples.astype(np.float32, copy=False))

    def __getstate__(self) -> Dict[str, Any]:
        state = dict(self.__dict__)
        if state.pop("_devices", None):
            raise TypeError("an estimator with devices cannot be pickled: keep save() of it, and load() it with the devices")
        if "_model" in state:
            state["_model"] = (self._model.to_bytes(), self._model.summary)
        try:
            state.update({k: v for k, v in super().__getstate__().items() if k == "_sklearn_version"})  # type: ignore[misc]
        except AttributeError:
            pass
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_devices"] = []
        if "_model" in state:
            self._model = _core.load_model(state["_model"][0], "pickle", [])

    def save(self, file: Any) -> None:
        """Writes the trained network as a checkpoint: `ffzero predict` and `ffzero.load` read it."""
        if not hasattr(self, "_model"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet.")
        with open(file, "wb") as out:
            out.write(self._model.to_bytes())


class Classifier(_ClassifierMixin, _Network):  # type: ignore[misc]
    """A network that is trained layer by layer with forward evaluations only.

    Parameters
    ----------
    layers : widths of the dense layers, or "auto": from the data. With devices: layers behind them.
    preset : a preset of docs/config.md
    epochs : passes over the training samples for each layer, or "auto": as many as the size of the data asks for; a
        ConvergenceWarning (of scikit-learn, or a UserWarning) says when a number is less than a twentieth of that
    devices : devices in the order of the data flow (`ffzero.device`, `ffzero.connect`), each a layer
    config : a TOML file, TOML, or a dict of keys (docs/config.md), stronger than the arguments above
    threads : 0: one for each core. Results do not depend on it.
    random_state : an integer, a NumPy generator, or None
    verbose : n: a line after every n-th epoch

    Attributes
    ----------
    classes_ : (K,) labels in order
    n_features_in_ : numbers of a sample
    n_iter_ : epochs of all layers together
    forward_evals_ : forward evaluations that the training took, as a device would be billed
    summary_ : dict, as summary.json

    Notes
    -----
    Features are standardised without their labels; images of bytes are normalised one by one. The order of the rows does not matter: the same
    samples in another order give the same network. Samples of weight 0 are left out.

    Examples
    --------
    >>> import ffzero, numpy as np
    >>> X = np.repeat(np.eye(3), 20, axis=0) + 0.1 * np.arange(60)[:, None] % 0.3
    >>> y = np.repeat(["laser", "lamp", "dark"], 20)
    >>> net = ffzero.Classifier(random_state=0).fit(X, y)
    >>> net.predict([[0, 1, 0]])
    array(['lamp'], dtype='<U5')
    >>> net.classes_.tolist(), net.n_features_in_
    (['dark', 'lamp', 'laser'], 3)
    """

    _task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Classifier":
        """Trains on X and labels y.

        Parameters
        ----------
        X : (N, F) numbers, or (N, H, W) or (N, C, H, W) bytes or numbers
        y : (N,) labels of any type
        sample_weight : (N,) how much each sample counts, not negative

        Raises
        ------
        ValueError for samples and labels that do not fit, ConfigError for settings, DeviceError and whatever a device raises,
        KeyboardInterrupt after Ctrl-C.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        samples = _samples(X, 2)
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f":
            if not np.isfinite(labels).all():
                raise ValueError("Input y contains NaN or infinity.")
            if (labels != np.floor(labels)).any():
                raise ValueError("Unknown label type: continuous")
        check_consistent_length(samples, labels, sample_weight)
        samples, labels, weights = _weighted(samples, labels, sample_weight)
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"needs samples of at least 2 classes; got one class, {self.classes_[0]!r}")
        self._fit(samples, encoded.astype(np.int64), weights)
        settings = tomllib.loads(self._model.config)
        self._temperature = float(settings.get("objective", {}).get("temperature", 1.0))
        self._rule = (self.summary_.get("vote") or {}).get("rule", "last")
        return self

    def predict(self, X: Any) -> Array:
        """(N,) labels."""
        decision = self._ask(X)["decision"]
        return np.asarray(self.classes_[decision])

    def predict_proba(self, X: Any) -> Array:
        """(N, K) probabilities, in the order of classes_: the softmax of the scores by which the network decides, at the temperature of its
        loss; shares of the votes where the layers vote by majority. A row does not depend on the others."""
        answer = self._ask(X)
        scores = [s.astype(np.float64) for s in answer["scores"][: answer["deciding"] + 1]]
        if self._rule in ("majority", "majority_early"):
            shares = sum(np.eye(len(self.classes_))[s.argmax(axis=1)] for s in scores)
            shares[np.arange(len(shares)), answer["decision"]] += 0.5
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        logits = (scores[-1] if self._rule == "last" else sum(scores)) / self._temperature
        logits = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def _more_tags(self) -> Dict[str, Any]:
        return {"requires_y": True}


class Regressor(_RegressorMixin, _Network):  # type: ignore[misc]
    """Regression by a network that is trained layer by layer with forward evaluations only. Arguments and attributes as those of Classifier,
    without classes_. Targets are scaled to [-1, 1] for training, and back.

    Examples
    --------
    >>> import ffzero, numpy as np
    >>> X = np.linspace(-1, 1, 80)[:, None]
    >>> net = ffzero.Regressor(random_state=0).fit(X, 300 + 20 * X[:, 0])
    >>> bool(abs(net.predict([[0.5]])[0] - 310) < 5)
    True
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Regressor":
        """Trains on X and targets y, (N,) or (N, T). Raises as Classifier.fit."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        samples = _samples(X, 2)
        targets = np.asarray(y).astype(np.float64)
        if targets.ndim not in (1, 2):
            raise ValueError(f"y should be a 1d or 2d array, got an array of shape {targets.shape} instead.")
        if not np.isfinite(targets).all():
            raise ValueError("Input y contains NaN or infinity.")
        check_consistent_length(samples, targets, sample_weight)
        self._single = targets.ndim == 1
        samples, targets, weights = _weighted(samples, targets, sample_weight)
        self._fit(samples, np.ascontiguousarray(targets), weights)
        return self

    def predict(self, X: Any) -> Array:
        """(N,) or (N, T) values in the units of y."""
        values: Array = self._ask(X)["values"]
        return values.ravel() if self._single else values

    def _more_tags(self) -> Dict[str, Any]:
        return {"requires_y": True, "multioutput": True}
