"""Settings: a file of TOML, and keys on top of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Dict, List, Optional, Tuple


def toml_value(value: Any) -> str:
    """A Python value as the configuration spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join('"' + v + '"' if isinstance(v, str) else toml_value(v) for v in value) + "]"
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return toml_value(value.item())
    if hasattr(value, "tolist"):
        return toml_value(value.tolist())
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else str(value)
    return str(value)


def toml_text(config: Optional[Any]) -> str:
    """The text of a configuration: a path of a TOML file, or TOML itself if it has a line break or an equals sign; None: nothing."""
    if config is None or isinstance(config, Mapping):
        return ""
    if not isinstance(config, (str, os.PathLike)):
        raise TypeError(f"config: must be the path of a TOML file, TOML, or a dict of keys; got {type(config).__name__}")
    text = os.fspath(config)
    if isinstance(text, str) and ("\n" in text or "=" in text):
        return text
    with open(text, encoding="utf-8") as file:
        return file.read()


def overrides_of(*sets: Optional[Mapping[str, Any]]) -> List[Tuple[str, str]]:
    """Keys as the module wants them; a later set is stronger. A nested dict stands for a table."""
    flat: Dict[str, str] = {}

    def take(prefix: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                take(prefix + key + ".", value)
            else:
                flat[prefix + key] = toml_value(value)

    for values in sets:
        if values:
            take("", values)
    return list(flat.items())
