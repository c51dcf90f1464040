#!/usr/bin/env python3
"""ffzero watch, as a browser and as a hostile page see it.

  watch_test.py PROGRAM        runs the tests; with PROGRAM built without cpp-httplib: watch_test.py PROGRAM --without
SPDX-License-Identifier: MIT
"""
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

PROGRAM = os.path.abspath(sys.argv[1])
HOSTILE = '<img src=x onerror=alert(1)>"&\''


def train(out, *arguments):
    return subprocess.run([PROGRAM, "train", "--quiet", "--no-report", "--dataset", "function1", "--layers", "6", "--epochs", "2", "--out", out, *arguments],
                          check=True, timeout=120)


def state_of(folder):
    """Every file of a run with its time and content."""
    return {p.name: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in sorted(folder.iterdir()) if p.is_file()} | {
        "": sorted(p.name for p in folder.iterdir())}


class Watch:
    """ffzero watch as a context: its address, and its exit code afterwards."""

    def __init__(self, run, *arguments):
        self.process = subprocess.Popen([PROGRAM, "watch", run, *arguments], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.rstrip("/").rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        return code

    def get(self, path="/", **headers):
        """Status, headers and text of an answer."""
        request = urllib.request.Request(self.address.rstrip("/") + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read().decode()

    def say(self, text):
        """The first line of what comes back for bytes that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(text.encode())
            return connection.recv(4096).split(b"\r\n")[0].decode()


class WatchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        os.chdir(cls.folder.name)
        train(HOSTILE)
        cls.finished = pathlib.Path(HOSTILE)
        pathlib.Path("secret.txt").write_text("secret")

    @classmethod
    def tearDownClass(cls):
        os.chdir("/")
        cls.folder.cleanup()

    def copy(self, name, without=()):
        """The run as it was before it had these files."""
        folder = pathlib.Path(name)
        folder.mkdir()
        for p in self.finished.iterdir():
            if p.is_file() and p.name not in without:
                (folder / p.name).write_bytes(p.read_bytes())
        return folder

    def unfinished(self, name):
        return self.copy(name, without=("summary.json", "evaluation.npz"))

    def test_shows_a_run_and_changes_nothing(self):
        run = self.unfinished("still")
        before = state_of(run)
        with Watch(run) as watch:
            status, headers, text = watch.get()
            self.assertEqual(status, 200)
            self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
            for words in ("<h1>still</h1>", "no process works on it", "Last epochs", "<td>dense0</td>", "<progress", "<svg"):
                self.assertIn(words, text)
            self.assertEqual(watch.get("/watch.js")[0], 200)
            self.assertEqual(watch.end(), 0)
        self.assertEqual(state_of(run), before)

    def test_shows_the_report_of_a_finished_run_with_its_name_escaped(self):
        before = state_of(self.finished)
        with Watch(self.finished) as watch:
            status, headers, text = watch.get()
            self.assertEqual(status, 200)
            self.assertIn("What it cost, and where", text)
            self.assertIn("&lt;img src=x onerror=alert(1)&gt;&quot;&amp;", text)
            self.assertNotIn("<img", text)
            self.assertIn("script-src 'self'", headers["Content-Security-Policy"])
            self.assertIn('class="curves"', text)
            self.assertNotIn("<script>", text)
            self.assertIn("showCurves()", watch.get("/watch.js")[2])
            self.assertNotIn("'unsafe-inline'", headers["Content-Security-Policy"].split("script-src")[1].split(";")[0])
        self.assertEqual(state_of(self.finished), before)

    def test_escapes_what_the_files_say(self):
        run = self.unfinished("lines")
        line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        line["layer"] = HOSTILE
        with (run / "metrics.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
        (run / "log.txt").write_text(HOSTILE + "\n")
        (run / "config.toml").write_text(HOSTILE + "\n")
        (run / "checkpoint.npz").write_text(HOSTILE)
        with Watch(run) as watch:
            text = watch.get()[2]
            self.assertNotIn("<img", text)
            self.assertIn("Where the training stands is not known", text)
            self.assertGreaterEqual(text.count("&lt;img src=x"), 3)

    def test_shows_new_epochs(self):
        run = self.unfinished("growing")
        with Watch(run) as watch:
            status, headers, first = watch.get("/live?v0")
            self.assertEqual(status, 200)
            self.assertEqual(watch.get("/live?" + headers["X-Version"])[0], 304)
            self.assertNotIn("123456", first)
            line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
            line.update(epoch=3, forward_evals=123456)
            with (run / "metrics.jsonl").open("a") as out:
                out.write(json.dumps(line) + "\n" + '{"layer": "half a li')
            status, _, second = watch.get("/live?" + headers["X-Version"])
            self.assertEqual(status, 200)
            self.assertIn("<td>123456</td>", second)
            (run / "metrics.jsonl").write_text("no JSON\n" * 3)
            self.assertIn("This cannot be shown now", watch.get("/live")[2])

    def test_holds_no_lock(self):
        run = self.copy("lock", without=("summary.json", "evaluation.npz"))
        with Watch(run) as watch:
            self.assertEqual(watch.get()[0], 200)
            subprocess.run([PROGRAM, "train", "--quiet", "--no-report", "--resume", run], check=True, timeout=120)
            self.assertIn("What it cost, and where", watch.get()[2])

    def test_answers_to_its_own_names_only(self):
        with Watch(self.finished) as watch:
            for host in ("evil.example", f"evil.example:{watch.port}", "127.0.0.1", f"127.0.0.1:{watch.port + 1}", f"127.0.0.1:{watch.port}.evil.example",
                         f"0.0.0.0:{watch.port}"):
                status, _, text = watch.get("/", Host=host)
                self.assertEqual(status, 403, host)
                self.assertNotIn("ffzero watch</title>", text)
            self.assertEqual(watch.get("/", Host=f"localhost:{watch.port}")[0], 200)
            self.assertIn(" 403 ", watch.say("GET / HTTP/1.0\r\n\r\n"))
            self.assertIn(" 403 ", watch.say(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{watch.port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"))

    def test_serves_nothing_else(self):
        with Watch(self.finished) as watch:
            for path in ("/secret.txt", "/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/metrics.jsonl", "/checkpoint.npz", "//etc/passwd",
                         "/live/../../secret.txt", "/report.html"):
                status, _, text = watch.get(path)
                self.assertEqual(status, 404, path)
                self.assertNotIn("secret", text)
            host = f"Host: 127.0.0.1:{watch.port}\r\nConnection: close\r\n\r\n"
            for method in ("POST", "PUT", "DELETE"):
                self.assertRegex(watch.say(f"{method} / HTTP/1.1\r\nContent-Length: 0\r\n{host}"), " 40[0-9] ")

    def test_serves_the_report_that_the_run_has(self):
        run = self.copy("reported")
        (run / "report.html").write_text("the report")
        with Watch(run) as watch:
            self.assertEqual(watch.get("/report.html")[2], "the report")

    def test_listens_on_this_machine_only_and_refuses_a_port_that_is_taken(self):
        with Watch(self.finished) as watch:
            self.assertTrue(watch.address.startswith("http://127.0.0.1:"))
            table = pathlib.Path("/proc/net/tcp").read_text() + (pathlib.Path("/proc/net/tcp6").read_text() if os.path.exists("/proc/net/tcp6") else "")
            listening = [line.split()[1] for line in table.splitlines() if f":{watch.port:04X} " in line and line.split()[3] == "0A"]
            self.assertEqual(listening, [f"0100007F:{watch.port:04X}"])
            second = subprocess.run([PROGRAM, "watch", self.finished, "--port", str(watch.port)], capture_output=True, text=True, timeout=60)
            self.assertEqual(second.returncode, 2)
            self.assertIn("must be a free port", second.stderr)

    def test_says_what_devices_were_asked(self):
        device = f"exec:{PROGRAM} device serve --inputs 4 --outputs 12 --noise 0.01"
        subprocess.run([PROGRAM, "train", "--quiet", "--no-report", "--dataset", "glyphs", "--set", "dataset.downsample=2", "--set", "model.kind=\"device\"",
                        "--device", device, "--solver", "ff_dd", "--epochs", "1", "--set", "training.batch_size=5000", "--out", "bench"],
                       check=True, timeout=120)
        for name in ("summary.json", "evaluation.npz"):
            pathlib.Path("bench", name).unlink()
        with Watch("bench") as watch:
            text = watch.get()[2]
            self.assertIn("<h2>Devices</h2>", text)
            for words in ("readings", "failures", "noise", "drift"):
                self.assertIn(words, text)

    def test_refuses_what_is_no_run(self):
        outcome = subprocess.run([PROGRAM, "watch", "."], capture_output=True, text=True, timeout=60)
        self.assertEqual(outcome.returncode, 4)
        self.assertIn("must be a run folder", outcome.stderr)

    def test_leaves_no_figures_behind(self):
        run = self.unfinished("traces")
        with tempfile.TemporaryDirectory() as place:
            process = subprocess.Popen([PROGRAM, "watch", run], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": place})
            process.stdout.readline()
            self.assertEqual(len(os.listdir(place)), 1)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=30), 0)
            process.stdout.close()
            self.assertEqual(os.listdir(place), [])


class WithoutHttpTest(unittest.TestCase):
    def test_says_what_to_install(self):
        outcome = subprocess.run([PROGRAM, "watch", "."], capture_output=True, text=True, timeout=60)
        self.assertEqual(outcome.returncode, 3)
        self.assertIn("libcpp-httplib-dev", outcome.stderr)
        self.assertEqual(outcome.stderr.count("\n"), 1)


if __name__ == "__main__":
    case = WithoutHttpTest if "--without" in sys.argv else WatchTest
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    sys.exit(0 if result.wasSuccessful() else 1)
