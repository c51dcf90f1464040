"""The code of docs/python.md, as it stands there, and the examples of the docstrings."""

import contextlib
import doctest
import importlib
import io
import os
import pathlib
import re
import tempfile
import unittest

import numpy as np

import ffzero

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "python.md"


def weights(theta):
    return (theta - 2.5).reshape(49, 32)


def measure(theta, x):
    return np.tanh(x @ weights(theta))


def pullback(theta, x, gy):
    y = measure(theta, x)
    return (x.T @ (gy * (1 - y * y))).ravel()


class TestPage(unittest.TestCase):
    def test_runs(self):
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        self.assertGreaterEqual(len(blocks), 5)
        rng = np.random.default_rng(0)
        y = np.arange(120) % 3
        names = {
            "X": (rng.normal(size=(120, 49)) + 3.0 * np.eye(49)[y]).astype(np.float32),
            "y": y,
            "measure": measure,
            "pullback": pullback,
            "forward": measure,
            "learn": lambda theta, x, y: None,
        }
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            try:
                pathlib.Path("experiment.toml").write_text('dataset.name = "glyphs"\nmodel.layers = [12]\n', encoding="utf-8")
                for block in blocks:
                    with contextlib.redirect_stdout(io.StringIO()):
                        exec(compile(block, str(PAGE), "exec"), names)
            finally:
                os.chdir(before)
        self.assertIsInstance(names["run"], ffzero.Run)


class TestDocstrings(unittest.TestCase):
    def test_run(self):
        modules = [importlib.import_module(f"ffzero.{name}") for name in ("_estimators", "_device", "_run", "_session")]
        results = [doctest.testmod(module) for module in modules]
        self.assertEqual(sum(result.failed for result in results), 0)
        self.assertGreaterEqual(sum(result.attempted for result in results), 15)


if __name__ == "__main__":
    unittest.main()
