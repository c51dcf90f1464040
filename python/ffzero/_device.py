"""Devices: anything that gives outputs for parameters and inputs."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from . import _core
from ._types import Array

Evaluation = Callable[[Array, Array], Any]
Pullback = Callable[[Array, Array, Array], Any]


class Twin:
    """A model of a device: it gives the slopes that the device cannot. For ``device(.., twin=..)`` and ``gradient.estimator = "twin"``.

    Parameters
    ----------
    pullback : called as ``pullback(theta, x, gy)`` with float32 arrays (parameters,), (rows, inputs) and (rows, outputs), for reading only;
        theta in the units of the device. Returns (parameters,): the sum over rows of (dy/dtheta)^T gy
    forward : called as ``forward(theta, x)``, returns (rows, outputs): what the model says. Needed for ``gradient.twin.order = "first"``, where
        all epochs but the last ``gradient.twin.refine`` train on the twin and cost the device nothing
    learn : called as ``learn(theta, x, y)`` with what the device has read, at every step on the device: a model with parameters of its own
        fits them here

    What one of them raises ends the training and arrives as itself. With ``gradient.twin.order = "along"`` every step reads the device once
    a sample, and takes the slopes at what was read.
    """

    def __init__(self, pullback: Pullback, forward: Optional[Evaluation] = None, learn: Optional[Callable[[Array, Array, Array], Any]] = None) -> None:
        for name, function in (("pullback", pullback), ("forward", forward), ("learn", learn)):
            if function is None and name != "pullback":
                continue
            if not callable(function):
                raise TypeError(f"Twin: {name} must be a function; got {type(function).__name__}")
        self.pullback, self.forward, self.learn = pullback, forward, learn

    def _functions(self) -> Dict[str, Callable[..., Any]]:
        named = {"pullback": self.pullback, "forward": self.forward, "learn": self.learn}
        return {name: function for name, function in named.items() if function is not None}


def torch_twin(module: Any, lr: float = 0.0) -> Twin:
    """The twin that a ``torch.nn.Module`` is: its parameters, flattened in the order of ``module.parameters()``, are those of the device.

    Parameters
    ----------
    module : takes (rows, inputs) and gives (rows, outputs), float32. Its buffers are its own. It may have a method ``errors()`` that gives a
        list of tensors, not among its parameters, which know how the device differs; they are fitted to readings with ``lr`` > 0
    lr : learning rate (Adam) of these errors, against the squared error of the readings; 0: they stay

    Raises
    ------
    ImportError without PyTorch.
    """
    # By name, so that the types of the package do not depend on whether PyTorch is there.
    torch: Any = importlib.import_module("torch")

    errors = list(module.errors()) if hasattr(module, "errors") else []
    if lr > 0 and not errors:
        raise ValueError("torch_twin: lr belongs to a module with errors()")
    optimiser = torch.optim.Adam(errors, lr=lr) if lr > 0 else None

    def load(theta: Array) -> Any:
        # A copy: the numbers belong to the library, and only for this call.
        torch.nn.utils.vector_to_parameters(torch.from_numpy(np.array(theta)), module.parameters())
        return list(module.parameters())

    def tensor(values: Array) -> Any:
        return torch.from_numpy(np.array(values))

    def forward(theta: Array, x: Array) -> Array:
        load(theta)
        with torch.no_grad():
            said: Array = module(tensor(x)).numpy()
        return said

    def pullback(theta: Array, x: Array, gy: Array) -> Array:
        parameters = load(theta)
        slopes = torch.autograd.grad(module(tensor(x)), parameters, tensor(gy), allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for g, p in zip(slopes, parameters)]
        joined: Array = torch.cat([g.reshape(-1) for g in flat]).numpy()
        return joined

    def learn(theta: Array, x: Array, y: Array) -> None:
        load(theta)
        assert optimiser is not None
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(module(tensor(x)), tensor(y))
        for error, slope in zip(errors, torch.autograd.grad(loss, errors)):
            error.grad = slope
        optimiser.step()

    return Twin(pullback, forward, learn if optimiser is not None else None)


class Device:
    """A device that training may ask for readings. Made by `device` or `connect`; a context manager that leaves it in its safe state."""

    def __init__(self, core: "_core.Device") -> None:
        self._core = core

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def inputs(self) -> int:
        """Numbers of a sample."""
        return self._core.inputs

    @property
    def outputs(self) -> int:
        """Readings of a sample."""
        return self._core.outputs

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return self._core.parameters

    @property
    def receipt(self) -> Dict[str, Any]:
        """What it was asked to do so far: readings, evaluations, writes, values, failures, retries, restarts, projected, seconds."""
        return self._core.receipt()

    def __call__(self, theta: Any, x: Any) -> Array:
        """One evaluation, as training makes it.

        Parameters
        ----------
        theta : (parameters,) array; in [-1, 1] where the device has a range, else in its own units
        x : (rows, inputs) array

        Returns
        -------
        (rows, outputs) float32 array. Costs one forward evaluation a row.

        Raises
        ------
        DeviceError, or what the callable raises.
        """
        return self._core.evaluate(np.asarray(theta, dtype=np.float32), x)

    def safe(self) -> None:
        """Every parameter to its safe value, until the next evaluation."""
        self._core.safe()

    def close(self) -> None:
        """To the safe state, and out of use. Closing twice does nothing."""
        self._core.close()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            return f"<ffzero device {self.name}: {self.inputs} inputs, {self.outputs} outputs, {self.parameters} parameters>"
        except ValueError:
            return f"<ffzero device {self.name}, closed>"


def _range_of(parameters: int, range: Optional[Tuple[float, float]], step: float, unit: str, safe: float, period: float) -> List[Dict[str, Any]]:
    if range is None and not period:
        if step or safe:
            raise ValueError("step and safe belong to a device with a range; give range=(smallest, largest)")
        return []
    low, high = (0.0, float(period)) if range is None else (float(range[0]), float(range[1]))
    return [{"first": 0, "count": parameters, "min": low, "max": high, "step": float(step), "unit": unit, "safe": float(safe), "period": float(period)}]


def device(
    function: Evaluation,
    *,
    inputs: int,
    outputs: int,
    parameters: int,
    range: Optional[Tuple[float, float]] = None,
    step: float = 0.0,
    unit: str = "",
    safe: float = 0.0,
    period: float = 0.0,
    noise: float = 0.0,
    on_safe: Optional[Callable[[Array], Any]] = None,
    twin: Optional[Twin] = None,
    name: Optional[str] = None,
) -> Device:
    """A device from a Python function.

    Parameters
    ----------
    function : called as ``function(theta, x)`` with float32 arrays (parameters,) and (rows, inputs); returns (rows, outputs). Both are views
        for reading: copy what is to be kept. Called by one thread at a time. What it raises ends the training and arrives as itself.
    inputs, outputs, parameters : sizes, at least 1
    range : smallest and largest value of a parameter in the units of the device; training then works on [-1, 1] and stays inside
    step : resolution of a parameter, in the same units
    unit : of the parameters, for records
    safe : value of the parameters when nobody measures
    period : of parameters that are phases: values that differ by it are the same
    noise : standard deviation of a reading, if it is known
    on_safe : called with the safe values when training is over
    twin : a model of it, for ``gradient.estimator = "twin"``
    name : in messages and records; otherwise that of the function

    Raises
    ------
    ConfigError for sizes or a range that cannot be.

    Examples
    --------
    >>> import ffzero, numpy as np
    >>> bench = ffzero.device(lambda theta, x: x @ theta.reshape(2, 3), inputs=2, outputs=3, parameters=6, range=(-1, 1))
    >>> bench(np.ones(6), [[1, 2]])
    array([[3., 3., 3.]], dtype=float32)
    >>> bench.receipt["readings"]
    1
    """
    if not callable(function):
        raise TypeError(f"device: needs a function of (theta, x); got {type(function).__name__}")
    called = name or str(getattr(function, "__name__", type(function).__name__))
    ranges = _range_of(parameters, range, step, unit, safe, period)
    if twin is not None and not isinstance(twin, Twin):
        raise TypeError(f"twin: must be an ffzero.Twin; got {type(twin).__name__}")
    functions = {} if twin is None else twin._functions()
    return Device(_core.call_device(function, inputs, outputs, parameters, ranges, noise, called, on_safe, functions))


def connect(address: str) -> Device:
    """A device behind the protocol of docs/device-protocol.md: ``exec:PROGRAM``, ``tcp:HOST:PORT``, ``unix:PATH`` or ``serial:PATH``.

    Raises
    ------
    UsageError for an address that does not parse, DeviceError if no device answers.
    """
    return Device(_core.connect(address))


@dataclasses.dataclass(frozen=True)
class CheckStep:
    """One step of the conformance test. status: passed, failed, not observed, skipped or not reached."""

    name: str
    status: str
    detail: str


class CheckReport(List[CheckStep]):
    """Steps of the conformance test, in their order. True if none has failed."""

    def __bool__(self) -> bool:
        return all(step.status != "failed" for step in self)

    def __str__(self) -> str:
        return "\n".join(f"{step.status:<14} {step.name}{': ' + step.detail if step.detail else ''}" for step in self)


def _check_callable(tested: Device, calls: int) -> CheckReport:
    """What can be seen of a device without a wire: shapes, batches, order of rows, that it reads its parameters, noise, safe state."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(-1, 1, tested.parameters).astype(np.float32)
    x = rng.uniform(0, 1, (8, tested.inputs)).astype(np.float32)
    report = CheckReport()

    def step(name: str, test: Callable[[], str]) -> None:
        try:
            report.append(CheckStep(name, "passed", test()))
        except Exception as error:  # the report is what the caller asked for
            report.append(CheckStep(name, "failed", f"{type(error).__name__}: {error}"))

    readings: Dict[str, Any] = {}

    def shape() -> str:
        readings["y"] = tested(theta, x)
        return f"{x.shape[0]} rows give {readings['y'].shape}"

    def noise() -> str:
        again = np.stack([tested(theta, x) for _ in range(8)])
        readings["noise"] = float(np.sqrt(again.var(axis=0, ddof=1).mean()))
        return f"standard deviation of a reading {readings['noise']:.3g}"

    def near(a: Array, b: Array) -> bool:
        tolerance = 8 * readings.get("noise", 0.0) + 1e-5 * (1.0 + float(np.abs(a).max()))
        return bool(np.abs(a - b).max() <= tolerance)

    def rows() -> str:
        one = np.concatenate([tested(theta, x[i : i + 1]) for i in range(len(x))])
        if not near(one, readings["y"]):
            raise ValueError("a row alone and the same row in a batch must read alike")
        return "a row alone and in a batch read alike"

    def reads_parameters() -> str:
        other = tested(-theta, x)
        if near(other, readings["y"]):
            raise ValueError("other parameters must give other readings")
        if not near(tested(theta, x), readings["y"]):
            raise ValueError("the first parameters again must give the first readings again")
        return "other parameters give other readings, the first ones the first readings"

    def safe_state() -> str:
        tested.safe()
        return "taken"

    step("shape", shape)
    if report[-1].status == "failed":
        return report
    step("noise", noise)
    step("rows", rows)
    step("parameters", reads_parameters)
    step("calls", lambda: f"{calls} evaluations" if all(np.isfinite(tested(theta, x[:1])).all() for _ in range(calls)) else "")
    step("safe", safe_state)
    return report


def check_device(device: "Device | str", *, calls: int = 100, out_of_range: bool = False) -> CheckReport:
    """The conformance test of a device, which it leaves in its safe state.

    Parameters
    ----------
    device : an address, for the whole test of docs/device-protocol.md; or a device, for what can be seen through its calls
    calls : evaluations that must go well one after another
    out_of_range : also send values outside the range (by address only): may harm a device without limits of its own

    Raises
    ------
    UsageError for an address that does not parse, DeviceError if nothing answers there at all.
    """
    if isinstance(device, str):
        words = {"ok": "passed", "FAILED": "failed"}  # of the command line
        steps = _core.check_address(device, out_of_range, calls)
        return CheckReport(CheckStep(name, words.get(status, status), detail) for name, status, detail in steps)
    return _check_callable(device, calls)


def cores_of(devices: Optional[Sequence[Device]]) -> List["_core.Device"]:
    """The devices as the module wants them."""
    if devices is None:
        return []
    if isinstance(devices, Device):
        devices = [devices]
    for item in devices:
        if not isinstance(item, Device):
            raise TypeError(f"devices: must be made by ffzero.device or ffzero.connect; got {type(item).__name__}")
    return [item._core for item in devices]
