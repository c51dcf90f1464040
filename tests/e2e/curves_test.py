#!/usr/bin/env python3
"""The curves of a report that answer mouse, finger and keyboard, in headless Chromium.

  curves_test.py PROGRAM       runs the tests; with PROGRAM built without cpp-httplib: curves_test.py PROGRAM --without
Exit code 77 where there is no Chromium.
SPDX-License-Identifier: MIT
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import browser  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
VALUES = r"(dense[01]|whole run), (test|train) set, seed 0: (epoch \d, )?\d+ forward evaluations, R² [-0-9.e]+, loss [0-9.e-]+(, loss of the steps [0-9.e-]+)?$"
# Without figures, which take most of the time.
WITHOUT_GNUPLOT = os.environ | {"PATH": "/nowhere"}


def train(out, epochs):
    subprocess.run([PROGRAM, "train", "--quiet", "--dataset", "function1", "--layers", "6,6", "--epochs", str(epochs), "--out", out], check=True, timeout=120,
                   env=WITHOUT_GNUPLOT, stderr=subprocess.DEVNULL)


class CurvesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        os.chdir(cls.folder.name)
        train("layered", 5)
        train("short", 1)
        train("long", 10)
        for runs, out in ((["short", "layered"], "near"), (["short", "long"], "far")):
            subprocess.run([PROGRAM, "report", *runs, "--out", out], check=True, timeout=120, env=WITHOUT_GNUPLOT, stderr=subprocess.DEVNULL)
        cls.page = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.page.__exit__()
        os.chdir("/")
        cls.folder.cleanup()

    def open(self, run, width=1280, touch=False):
        self.page.form(width, 900, touch=touch)
        self.page.open(pathlib.Path(run, "report.html").absolute().as_uri())
        self.page.value("document.querySelector('.curves').scrollIntoView()")

    def tearDown(self):
        self.assertEqual(self.page.errors, [])
        asked = [address for address in self.page.requests if not address.startswith("data:")]
        self.assertEqual(len(asked), 1, asked)
        drawn = self.page.value("document.querySelector('.curves').innerHTML")
        self.assertNotRegex(drawn, "NaN|Infinity|undefined")

    def axes(self):
        """The numbers at the axes: those of x, then those of y."""
        return self.page.value("['middle', 'end'].map(at => [...document.querySelectorAll(`.curves text[text-anchor=${at}]`)].map(t => t.textContent))")

    def status(self):
        return self.page.value("document.querySelector('.curves [role=status]').textContent")

    def place(self, x, y):
        """A point of the picture by parts of its width and height."""
        box = self.page.value("(b => [b.left, b.top, b.width, b.height])(document.querySelector('.curves svg').getBoundingClientRect())")
        return box[0] + x * box[2], box[1] + y * box[3]

    def press(self, name):
        self.page.value(f"document.querySelector('.curves button[aria-label=\"{name}\"]').focus()")
        self.page.key("Enter", "\r")

    def evaluations(self):
        """What the point under the keyboard says."""
        return int(re.search(r"(\d+) forward", self.status())[1])

    def reached(self, steps=30):
        """The evaluations of all points that the arrow keys go through: two layers and the run, two sets, five epochs a layer."""
        self.page.value("document.querySelector('.curves svg').focus()")
        seen = set()
        for _ in range(steps):
            self.page.key("ArrowRight")
            seen.add(self.evaluations())
        return sorted(seen)

    def test_says_values_under_the_mouse(self):
        self.open("layered")
        self.page.mouse("mouseMoved", *self.place(0.9, 0.2))
        self.assertRegex(self.status(), VALUES)
        first = self.status()
        self.page.mouse("mouseMoved", *self.place(0.08, 0.8))
        self.assertRegex(self.status(), VALUES)
        self.assertNotEqual(self.status(), first)

    def test_enlarges_a_range_and_shows_all_again(self):
        for logarithmic in (False, True):
            self.open("layered")
            if logarithmic:
                self.page.value("document.querySelectorAll('.curves input')[0].click()")
            whole, points = self.axes(), self.reached()
            self.page.drag(self.place(0.7, 0.5), self.place(0.95, 0.6))
            inside = self.axes()
            self.assertNotEqual(inside[0], whole[0])
            self.assertNotEqual(inside[1], whole[1])
            kept = self.reached()
            self.assertLess(set(kept), set(points))
            self.page.drag(self.place(0.5, 0.5), self.place(0.502, 0.5))
            self.assertEqual(self.axes(), inside, "a click is no range")
            self.page.double_click(*self.place(0.5, 0.5))
            self.assertEqual(self.axes(), whole)

    def test_is_used_by_keyboard(self):
        self.open("layered")
        whole, points = self.axes(), self.reached()
        names = self.page.value("[...document.querySelectorAll('.curves button')].map(b => b.getAttribute('aria-label'))")
        self.assertEqual(names, ["zoom in", "zoom out", "move to the left", "move to the right", "show all"])
        self.press("zoom in")
        middle = self.reached()
        self.assertLess(len(middle), len(points))
        self.press("move to the right")
        right = self.reached()
        self.assertGreater(right[0], middle[0])
        self.assertEqual(right[-1], points[-1])
        self.press("move to the left")
        self.press("move to the left")
        self.assertEqual(self.reached()[0], points[0])
        self.press("zoom out")
        self.assertEqual(self.axes(), whole)
        for _ in range(30):
            self.press("zoom in")
        self.press("show all")
        self.assertEqual(self.axes(), whole)

    def test_shows_all_when_the_axis_changes(self):
        self.open("layered")
        self.press("zoom in")
        self.page.value("(s => { s.value = 1; s.dispatchEvent(new Event('change')); })(document.querySelectorAll('.curves select')[1])")
        self.assertEqual(self.axes()[0][0], "1")

    def test_begins_with_a_logarithmic_axis_where_costs_are_far_apart(self):
        for runs, far in (("near", False), ("far", True)):
            self.open(runs)
            self.assertEqual(self.page.value("document.querySelectorAll('.curves input')[0].checked"), far, runs)
            whole = self.axes()
            self.page.value("document.querySelectorAll('.curves input')[0].click()")
            self.assertNotEqual(self.axes()[0], whole[0])

    def test_follows_a_finger_and_leaves_scrolling(self):
        self.open("layered", 390, touch=True)
        self.assertEqual(self.page.value("document.documentElement.scrollWidth"), 390)
        whole = self.axes()
        self.page.swipe(self.place(0.7, 0.5), self.place(0.95, 0.5))
        self.assertNotEqual(self.axes(), whole)
        self.press("show all")
        self.assertEqual(self.axes(), whole)
        before = self.page.value("scrollY")
        self.page.swipe(self.place(0.5, 0.9), self.place(0.5, 0.1))
        self.assertEqual(self.axes(), whole)
        self.assertGreater(self.page.value("scrollY"), before)

    def test_draws_a_run_of_one_epoch(self):
        self.open("short")
        self.page.mouse("mouseMoved", *self.place(0.1, 0.5))
        self.assertRegex(self.status(), VALUES)
        whole = self.axes()
        self.press("zoom in")
        self.page.drag(self.place(0.2, 0.5), self.place(0.4, 0.5))
        self.press("show all")
        self.assertEqual(self.axes(), whole)


@unittest.skipIf("--without" in sys.argv, "built without cpp-httplib")
class WatchedTest(unittest.TestCase):
    def test_shows_new_epochs_and_then_curves(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            train("run", 2)
            run = pathlib.Path("run")
            summary, evaluation = (run / "summary.json").read_bytes(), (run / "evaluation.npz").read_bytes()
            (run / "summary.json").unlink()
            (run / "evaluation.npz").unlink()
            server = subprocess.Popen([PROGRAM, "watch", run], stdout=subprocess.PIPE, text=True, env=WITHOUT_GNUPLOT)
            try:
                with browser.Browser() as page:
                    page.open(server.stdout.readline().strip())
                    self.assertIn("Last epochs", page.value("document.body.innerText"))
                    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) | {"epoch": 3, "forward_evals": 123456}
                    with (run / "metrics.jsonl").open("a") as out:
                        out.write(json.dumps(line) + "\n")
                    self.wait_for(page, "document.body.innerText.includes('123456')")
                    (run / "evaluation.npz").write_bytes(evaluation)
                    (run / "summary.json").write_bytes(summary)
                    self.wait_for(page, "document.querySelectorAll('.curves polyline').length > 0")
                    self.assertEqual(page.errors, [])
            finally:
                server.send_signal(signal.SIGINT)
                server.wait(timeout=30)
                server.stdout.close()
                os.chdir("/")

    def wait_for(self, page, condition):
        for _ in range(100):
            if page.value(condition):
                return
            time.sleep(0.1)
        self.fail(condition)


if __name__ == "__main__":
    if browser.program() is None:
        print("The curves are not tried: there is no Chromium. Get it with: apt install chromium")
        sys.exit(77)
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    sys.exit(0 if result.wasSuccessful() else 1)
