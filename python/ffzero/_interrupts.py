"""Ctrl-C while the library trains."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Callable, Optional, Type


class Interrupts:
    """Keeps a first Ctrl-C until the step is over, so that it interrupts no evaluation of a device and the training is saved; a second one
    ends at once, as Python does. On threads other than the main one, and where the program handles the signal itself, nothing changes.

    stop : the caller's own question whether to end
    """

    def __init__(self, stop: Optional[Callable[[], bool]] = None) -> None:
        self._stop = stop
        self._seen = False
        self._before: Any = None

    def requested(self) -> bool:
        """Whether to end between two steps."""
        return self._seen or (self._stop is not None and bool(self._stop()))

    def _keep(self, number: int, frame: Optional[FrameType]) -> None:
        if self._seen:
            signal.default_int_handler(number, frame)
        self._seen = True

    def __enter__(self) -> "Interrupts":
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._keep)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._seen and kind is None:
            raise KeyboardInterrupt
