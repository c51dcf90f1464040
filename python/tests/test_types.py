"""Annotations hold: mypy on the package and the examples, and the stub of the module against the module itself.

SPDX-License-Identifier: MIT
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import ffzero

PACKAGE = pathlib.Path(ffzero.__file__).parent
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    paths = {"MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([sys.executable, "-m", *words], cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False)


@unittest.skipIf(run("mypy", "--version").returncode != 0, "mypy is not installed")
class Types(unittest.TestCase):
    def test_package(self) -> None:
        checked = run("mypy", "--strict", "-p", "ffzero")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_examples(self) -> None:
        checked = run("mypy", "--strict", *map(str, sorted(EXAMPLES.glob("*.py"))))
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_stub(self) -> None:
        # pybind11's classes have a metaclass of their own, which no caller sees.
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as allowed:
            allowed.write("ffzero._core.Device\nffzero._core.Model\nffzero._core.Session\n")
            allowed.flush()
            checked = run("mypy.stubtest", "ffzero._core", "--allowlist", allowed.name)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    unittest.main()
