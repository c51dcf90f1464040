"""ffzero: training neural networks with forward evaluations only, on devices as well as in simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from ._core import __version__, make_glyphs
from ._device import CheckReport, CheckStep, Device, Twin, check_device, connect, device, torch_twin
from ._errors import CheckError, ConfigError, DataError, DeviceError, DivergedError, FfzeroError, OutputError, UsageError
from ._run import Network, Run, load, read_run, train
from ._session import Question, Session

if TYPE_CHECKING:
    from ._estimators import Classifier, Regressor

__all__ = [
    "CheckError", "CheckReport", "CheckStep", "Classifier", "ConfigError", "DataError", "Device", "DeviceError", "DivergedError",
    "FfzeroError", "Network", "OutputError", "Question", "Regressor", "Run", "Session", "Twin", "UsageError", "__version__", "check_device",
    "connect", "device", "load", "make_glyphs", "read_run", "torch_twin", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # scikit-learn, which they use where it is installed, takes a second to import: only whoever wants them pays.
    if name in ("Classifier", "Regressor"):
        from . import _estimators

        return getattr(_estimators, name)
    raise AttributeError(f"module 'ffzero' has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted(__all__)
