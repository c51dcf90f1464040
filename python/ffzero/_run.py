"""Runs: training into a folder, and what a folder says."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from . import _core
from ._data import arrays_of, with_test
from ._device import Device, cores_of
from ._interrupts import Interrupts
from ._settings import overrides_of, toml_text
from ._types import Array


class Run:
    """A run folder as `ffzero train` and `ffzero.train` write it. Shows itself with its figures in a notebook.

    config : dict, resolved; summary : dict, or None while the run has not finished; metrics : a DataFrame, or a list of dicts without
    pandas; checkpoint : dict of arrays; figures : dict from name to file.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: must be a run folder")
        if not (self.folder / "config.toml").exists():
            raise FileNotFoundError(f"{folder}: must be a run folder; got no config.toml in it")

    @property
    def config(self) -> Dict[str, Any]:
        return tomllib.loads((self.folder / "config.toml").read_text(encoding="utf-8"))

    @property
    def summary(self) -> Optional[Dict[str, Any]]:
        file = self.folder / "summary.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    @property
    def metrics(self) -> Any:
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        records: List[Dict[str, Any]] = [json.loads(line) for line in lines if line]
        try:
            import pandas  # type: ignore[import]
        except ImportError:
            return records
        return pandas.DataFrame(records)

    @property
    def checkpoint(self) -> Dict[str, Array]:
        with np.load(self.folder / "checkpoint.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}

    @property
    def figures(self) -> Dict[str, pathlib.Path]:
        return {file.stem: file for file in sorted((self.folder / "figures").glob("*.svg"))}

    def __repr__(self) -> str:
        summary = self.summary
        if summary is None:
            return f"<ffzero run {self.folder}, not finished>"
        final = summary["final"]
        return f"<ffzero run {self.folder}: {summary['solver']}, test {final['metric']} {final['test']:.4f}>"

    def _repr_html_(self) -> str:
        def escaped(text: str) -> str:
            return text.replace("&", "&amp;").replace("<", "&lt;")

        html = f"<p><b>{escaped(repr(self)[1:-1])}</b></p>"
        for name, file in self.figures.items():
            data = base64.b64encode(file.read_bytes()).decode()
            html += f'<img alt="{escaped(name)}" style="max-width: 440px" src="data:image/svg+xml;base64,{data}">'
        return html


def read_run(folder: Any) -> Run:
    """What a run folder says, finished or not. Raises FileNotFoundError if it is none."""
    return Run(folder)


def train(
    config: Any = None,
    keys: Optional[Mapping[str, Any]] = None,
    *,
    out: Any,
    data: Optional[Sequence[Any]] = None,
    devices: Optional[Sequence[Device]] = None,
    resume: bool = False,
    changes: Optional[Mapping[str, Any]] = None,
    report: bool = True,
    threads: int = 0,
    on_epoch: Optional[Callable[[Dict[str, Any]], Any]] = None,
    stop: Optional[Callable[[], bool]] = None,
) -> Run:
    """Trains into a folder, as `ffzero train`.

    Parameters
    ----------
    config : a TOML file, TOML, a dict of keys, or None: the defaults
    keys : further keys, stronger than config
    out : the folder; must not exist, unless `resume`
    data : samples in place of a data set: (X, y), or (X, y, X_test, y_test). X : (N, F) numbers, or (N, H, W) or (N, C, H, W) bytes or
        numbers. y : (N,) whole numbers from 0: classes; real numbers, (N,) or (N, T): targets. Without test samples every fifth
        one, of every class alike, is set aside for testing, the same ones each time
    devices : from `device` or `connect`: the layers, in the order of the data flow; dense layers follow only where config says so
    resume : go on with the run in `out`, whose settings hold; with the same data and devices
    changes : with `resume`, of a run that gradient.fallback = "stop" has ended: other gradient.twin.*, gradient.transfer.*, gradient.fallback
    report : draw report.html and figures/ at the end
    threads : 0: one for each core
    on_epoch : called with a dict after each epoch
    stop : asked between steps; True saves and ends

    Returns
    -------
    The run; finished, unless it was stopped.

    Raises
    ------
    ConfigError, DataError, UsageError for a folder that exists, ValueError for data that do not fit, CheckError where gradient.fallback
    = "stop" ends the run (saved, see `changes`), whatever a device raises, and
    KeyboardInterrupt after Ctrl-C, when the step is over; the run is saved and can be resumed.
    """
    if changes and not resume:
        raise ValueError("changes: belongs to resume=True; a new run takes its settings from config and keys")
    told = None if on_epoch is None else (lambda text: on_epoch(json.loads(text)))
    overrides = overrides_of(config if isinstance(config, Mapping) else None, keys)
    cores = cores_of(devices)
    text = toml_text(config)
    if cores and not resume and "layers" not in tomllib.loads(text).get("model", {}) and not any(key == "model.layers" for key, _ in overrides):
        overrides += overrides_of({"model.layers": []})
    arrays = {} if data is None else with_test(arrays_of(data))
    with Interrupts(stop) as interrupts:
        _core.run_training(
            text,
            overrides,
            os.fspath(out),
            resume,
            report,
            int(threads),
            told,
            interrupts.requested,
            arrays,
            cores,
            overrides_of(changes),
        )
    return Run(out)


class Network:
    """A trained network from a file or a run folder."""

    def __init__(self, core: "_core.Model") -> None:
        self._core = core

    @property
    def config(self) -> Dict[str, Any]:
        return tomllib.loads(self._core.config)

    @property
    def task(self) -> str:
        return self._core.task

    @property
    def features(self) -> int:
        """Numbers of a sample."""
        return self._core.features

    def scores(self, X: Any) -> List[Array]:
        """One (N, K) array a layer that decides."""
        scores: List[Array] = self._core.predict(_rows(X))["scores"]
        return scores

    def predict(self, X: Any) -> Array:
        """(N,) classes by number or name, or (N,) or (N, T) values. X : samples as the network was trained on, one a row or as images."""
        answer = self._core.predict(_rows(X))
        if self.task == "regression":
            values: Array = answer["values"]
            return values.ravel() if values.shape[1] == 1 else values
        names = np.array(self._core.class_texts or self._core.class_names)
        decision: Array = answer["decision"]
        return np.asarray(names[decision]) if len(names) else decision


def _rows(X: Any) -> Array:
    samples = np.asarray(X)
    if samples.dtype == object:
        raise TypeError("X: must hold numbers; got an array of objects")
    if samples.ndim < 2:
        raise ValueError(f"X: must have one row for each sample; got {samples.ndim} dimensions")
    return samples.reshape(len(samples), -1).astype(np.float32, copy=False)


def load(source: Any, *, devices: Any = None) -> Network:
    """The trained network of a run folder, or of a checkpoint file.

    Parameters
    ----------
    source : run folder, or file that `Classifier.save` or a run wrote
    devices : of a network with devices, in the order of the data flow

    Raises
    ------
    FileNotFoundError if nothing is there; DataError if it is no checkpoint; UsageError if devices are missing.
    """
    path = pathlib.Path(source)
    file = path / "checkpoint.npz" if path.is_dir() else path
    return Network(_core.load_model(file.read_bytes(), str(file), cores_of(devices)))
