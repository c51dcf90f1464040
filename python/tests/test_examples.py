"""The examples run, and say what they promise.

SPDX-License-Identifier: MIT
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import ffzero

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def output_of(name: str) -> str:
    paths = {"PYTHONPATH": str(pathlib.Path(ffzero.__file__).parents[1])}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name)], cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise AssertionError(f"{name}: {done.stdout}\n{done.stderr}")
    return done.stdout


class Examples(unittest.TestCase):
    def test_ask_and_tell(self) -> None:
        self.assertIn("the same network: True", output_of("ask_and_tell.py"))

    def test_drifting_bench(self) -> None:
        first, last = (float(line.split("accuracy ")[1].split()[0]) for line in output_of("drifting_bench.py").splitlines())
        self.assertGreater(last, first + 0.1)

    def test_equal_evaluations(self) -> None:
        rows = [line for line in output_of("equal_evaluations.py").splitlines() if "0." in line]
        self.assertEqual(len(rows), 4)
        for row in rows:
            self.assertGreater(float(row.split()[-1]), float(row.split()[-3]), row)

    def test_first_contact(self) -> None:
        self.assertIn("bench: test accuracy", output_of("first_contact.py"))


if __name__ == "__main__":
    unittest.main()
