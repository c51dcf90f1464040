"""Ask and tell: the laboratory owns the loop."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Dict, Optional

from . import _core
from ._data import arrays_of
from ._device import _range_of
from ._settings import overrides_of, toml_text
from ._types import Array


@dataclasses.dataclass(frozen=True)
class Question:
    """One evaluation that training asks for.

    id : number of the request; device : of several, from 0; theta : (parameters,) in the units of the device; x : (rows, inputs)
    """

    id: int
    device: int
    theta: Array
    x: Array

    @property
    def rows(self) -> int:
        return len(self.x)


class Session:
    """Training through a device that somebody else asks.

    Parameters
    ----------
    config : a TOML file, TOML, a dict of keys (docs/config.md), or None
    data : (X, y), or (X, y, X_test, y_test)
    inputs, outputs, parameters : sizes of the device
    range, step, unit, safe, period, noise : as in `ffzero.device`
    keys : further keys, stronger than config
    task : "classification" or "regression"
    seed : of everything that is drawn
    saved : a file that `save` wrote, of a session with the same arguments: it is gone on with

    Examples
    --------
    >>> import ffzero, numpy as np
    >>> X, y = np.repeat(np.eye(2), 16, axis=0), np.repeat([0, 1], 16)
    >>> session = ffzero.Session({"training.epochs": 1}, data=(X, y), inputs=2, outputs=4, parameters=8)
    >>> asked = 0
    >>> while (q := session.ask()) is not None:
    ...     session.tell(q.id, q.x @ q.theta.reshape(2, 4))   # here a person or an instrument reads
    ...     asked += 1
    >>> asked > 0, q is None
    (True, True)
    """

    def __init__(
        self,
        config: Any = None,
        *,
        data: Any,
        inputs: int,
        outputs: int,
        parameters: int,
        range: Any = None,
        step: float = 0.0,
        unit: str = "",
        safe: float = 0.0,
        period: float = 0.0,
        noise: float = 0.0,
        name: str = "lab",
        keys: Optional[Mapping[str, Any]] = None,
        task: str = "classification",
        seed: int = 0,
        saved: Optional[Any] = None,
    ) -> None:
        if task not in ("classification", "regression"):
            raise ValueError(f"task: must be classification or regression; got {task!r}")
        arrays = arrays_of(data, task)
        described = {
            "inputs": inputs,
            "outputs": outputs,
            "parameters": parameters,
            "ranges": _range_of(parameters, range, step, unit, safe, period),
            "noise": noise,
            "name": name,
        }
        base = {
            "dataset.name": "memory",
            "dataset.task": task,
            "training.log_test": False,
            "training.log_samples": 0,
            "model.layers": [],
            "seed": seed,
        }
        overrides = overrides_of(base, config if isinstance(config, Mapping) else None, keys)
        self._task = task
        self._core = _core.Session(
            toml_text(config), overrides, arrays, task, [described], 1, "" if saved is None else os.fspath(saved)
        )

    def ask(self, timeout: Optional[float] = None) -> Optional[Question]:
        """The next question that nobody works on. Waits for it, for at most `timeout` seconds; None: there was none in this time, or
        training is over (`finished`)."""
        request = self._core.ask(-1.0 if timeout is None else float(timeout))
        return None if request is None else Question(**request)

    def tell(self, id: int, y: Any) -> None:
        """The readings of a question, (rows, outputs). In any order; the same answer twice is ignored.

        Raises
        ------
        UsageError for a question that was never asked and for a second answer that differs; DataError for another shape or a reading that is
        not finite.
        """
        self._core.tell(id, y)

    def fail(self, id: int, *, retry: bool = True, why: str = "a reading that failed") -> None:
        """A question could not be answered. retry: ask it again; otherwise training stops, and `result` raises a DeviceError."""
        self._core.fail(id, retry, why)

    @property
    def finished(self) -> bool:
        """True when training is over, well or not."""
        return self._core.finished

    def save(self, file: Any) -> None:
        """Everything that the session is gone on with from, at any moment, in one file that is replaced at once."""
        self._core.save(os.fspath(file))

    def result(self) -> "_core.Model":
        """What training came to; waits for its end. Raises what ended it."""
        return self._core.result()

    def close(self) -> None:
        """Ends training. Nothing is lost that `save` has written."""
        self._core.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
