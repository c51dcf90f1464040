"""Devices in Python, ask and tell, runs."""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

import ffzero
from ffzero._settings import overrides_of

CONFIG = {"training.epochs": 2, "training.batch_size": 16, "gradient.directions": 2}


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 4)) + 3.0 * np.eye(4)[y]).astype(np.float32), y


def bench(theta, x):
    return np.tanh(x @ theta.reshape(4, 6))


def new_bench(function=bench, **more):
    return ffzero.device(function, inputs=4, outputs=6, parameters=24, range=(-2, 2), **more)


class TestDevice(unittest.TestCase):
    def test_sees_what_it_is_given(self):
        seen = []

        def function(theta, x):
            seen.append((theta.flags.writeable, x.flags.writeable, theta.dtype, x.dtype, theta.shape, x.shape, theta.max()))
            return bench(theta, x)

        with new_bench(function) as device:
            y = device(np.ones(24), np.ones((3, 4)))
            self.assertEqual(y.shape, (3, 6))
            self.assertEqual(seen, [(False, False, np.float32, np.float32, (24,), (3, 4), 2.0)])
            self.assertEqual(device.receipt["readings"], 3)
        with self.assertRaisesRegex(ValueError, "closed"):
            device(np.ones(24), np.ones((3, 4)))

    def test_gets_the_librarys_numbers_without_a_copy(self):
        addresses = []

        def function(theta, x):
            addresses.append((theta.ctypes.data, x.ctypes.data))
            return x @ theta.reshape(4, 6)

        device = ffzero.device(function, inputs=4, outputs=6, parameters=24)
        theta, x = np.ones(24, np.float32), np.ones((3, 4), np.float32)
        device(theta, x)
        self.assertEqual(addresses[0][0], theta.ctypes.data)

    def test_trains_in_place(self):
        x, y = table()
        left = []
        device = new_bench(safe=0.5, on_safe=lambda values: left.append(values))
        net = ffzero.Classifier(devices=[device], config={**CONFIG, "training.epochs": 30}, random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.8)
        self.assertEqual(net.summary_["information"], "opaque")
        self.assertEqual(net.summary_["devices"][0]["name"], "device0")
        self.assertGreater(device.receipt["readings"], 1000)
        device.close()
        np.testing.assert_array_equal(left[0], np.full(24, 0.5, np.float32))

    def test_hands_exceptions_on_as_they_are(self):
        class OutOfCoffee(Exception):
            pass

        calls = []

        def failing(theta, x):
            calls.append(1)
            if len(calls) > 5:
                raise OutOfCoffee("empty")
            return bench(theta, x)

        x, y = table()
        with self.assertRaisesRegex(OutOfCoffee, "empty"):
            ffzero.Classifier(devices=[new_bench(failing)], config=CONFIG, random_state=1).fit(x, y)

    def test_refuses_answers_that_do_not_fit(self):
        x, y = table()
        for function, error, words in (
            (lambda theta, x: None, TypeError, "None"),
            (lambda theta, x: bench(theta, x)[:, :5], ValueError, r"\(\d+, 6\)"),
            (lambda theta, x: bench(theta, x).ravel(), ValueError, r"\(\d+, 6\)"),
            (lambda theta, x: "red", (TypeError, ValueError), "array"),
            (lambda theta, x: bench(theta, x) * np.nan, ffzero.DeviceError, "finite"),
        ):
            with self.assertRaisesRegex(error, words):
                ffzero.Classifier(devices=[new_bench(function)], config=CONFIG, random_state=1).fit(x, y)
        with self.assertRaises(ffzero.ConfigError):
            ffzero.device(bench, inputs=0, outputs=6, parameters=24)
        with self.assertRaises(ffzero.ConfigError):
            ffzero.device(bench, inputs=4, outputs=6, parameters=24, range=(2, 2))
        with self.assertRaises(TypeError):
            ffzero.device(None, inputs=4, outputs=6, parameters=24)
        with self.assertRaises(TypeError):
            ffzero.Classifier(devices=[bench]).fit(x, y)
        with self.assertRaises(ffzero.UsageError):
            ffzero.connect("nowhere")
        with self.assertRaises(ffzero.DeviceError):
            ffzero.connect("tcp:127.0.0.1:1")

    def test_is_checked(self):
        self.assertTrue(ffzero.check_device(new_bench()), str(ffzero.check_device(new_bench())))
        deaf = new_bench(lambda theta, x: np.tanh(x @ np.ones((4, 6), np.float32)))
        report = ffzero.check_device(deaf)
        self.assertFalse(report)
        self.assertIn("other parameters must give other readings", str(report))

    def test_runs_under_the_interpreter_of_any_thread(self):
        x, y = table()
        scores = []

        def work():
            scores.append(ffzero.Classifier(devices=[new_bench()], config=CONFIG, random_state=1).fit(x, y).predict(x))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(scores), 3)
        np.testing.assert_array_equal(scores[0], scores[1])
        np.testing.assert_array_equal(scores[0], scores[2])


def session_of(data, **more):
    return ffzero.Session(CONFIG, data=data, inputs=4, outputs=6, parameters=24, range=(-2, 2), seed=3, **more)


class TestSession(unittest.TestCase):
    def test_asks_until_it_is_trained(self):
        data = table()
        with session_of(data) as session:
            while (q := session.ask()) is not None:
                session.tell(q.id, bench(q.theta, q.x))
            self.assertTrue(session.finished)
            whole = session.result().to_bytes()
        keys = {"dataset.name": "memory", "training.log_test": False, "training.log_samples": 0, "model.layers": []}
        overrides = overrides_of(keys, {**CONFIG, "seed": 3})
        arrays = {"x_train": data[0], "y_train": data[1]}
        direct = ffzero._core.fit("", overrides, arrays, "classification", [new_bench()._core], 1, None, None)
        self.assertEqual(thetas(whole), thetas(direct.to_bytes()))

    def test_survives_the_power(self):
        data = table()
        with session_of(data) as session:
            while (q := session.ask()) is not None:
                session.tell(q.id, bench(q.theta, q.x))
            whole = session.result().to_bytes()
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "session.npz")
            session, told = session_of(data), 0
            while True:
                q = session.ask()
                if q is None:
                    break
                session.tell(q.id, bench(q.theta, q.x))
                told += 1
                session.save(file)
                if told % 11 == 0:
                    session.close()
                    session = session_of(data, saved=file)
            self.assertEqual(thetas(session.result().to_bytes()), thetas(whole))

    def test_takes_answers_in_any_order(self):
        data = table()
        with session_of(data) as session:
            first, second = session.ask(), session.ask(timeout=0.2)
            while second is None:  # a look at the device comes alone
                session.tell(first.id, bench(first.theta, first.x))
                first, second = session.ask(), session.ask(timeout=0.2)
            with self.assertRaises(ffzero.UsageError):
                session.tell(999, bench(first.theta, first.x))
            with self.assertRaises(ffzero.DataError):
                session.tell(first.id, bench(first.theta, first.x)[:2])
            session.tell(second.id, bench(second.theta, second.x))
            session.tell(second.id, bench(second.theta, second.x))
            with self.assertRaises(ffzero.UsageError):
                session.tell(second.id, 1.0 + bench(second.theta, second.x))
            session.fail(first.id)
            again = session.ask()
            session.fail(first.id, retry=False, why="a laser that is off")
            with self.assertRaisesRegex(ffzero.DeviceError, "a laser that is off"):
                session.result()
        with self.assertRaisesRegex(ValueError, "closed"):
            session.ask()

    def test_is_answered_by_four_processes(self):
        data = table()
        with session_of(data) as session:
            while (q := session.ask()) is not None:
                session.tell(q.id, bench(q.theta, q.x))
            whole = session.result().to_bytes()
        spawn = multiprocessing.get_context("spawn")
        with session_of(data) as session, concurrent.futures.ProcessPoolExecutor(4, mp_context=spawn) as pool:
            under_way, most = {}, 0
            while not session.finished:
                q = session.ask(timeout=0.01 if under_way else None)
                if q is not None:
                    under_way[pool.submit(bench, q.theta, q.x)] = q.id
                    most = max(most, len(under_way))
                elif under_way:
                    done = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED).done
                    for answer in done:
                        session.tell(under_way.pop(answer), answer.result())
            self.assertEqual(most, 4)
            self.assertEqual(thetas(session.result().to_bytes()), thetas(whole))


def thetas(data):
    import io

    with np.load(io.BytesIO(data)) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name.endswith("theta")}


class TestRuns(unittest.TestCase):
    def test_go_into_a_folder(self):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "run"
            told = []
            keys = {"dataset.name": "glyphs", "model.layers": [30], "training.epochs": 1}
            run = ffzero.train(None, keys, out=folder, report=False, on_epoch=told.append)
            self.assertEqual(len(told), 1)
            self.assertEqual(run.config["training"]["epochs"], 1)
            self.assertGreater(run.summary["final"]["test"], 0.3)
            self.assertEqual(len(run.metrics), 1)
            self.assertIn("layer0.theta", run.checkpoint)
            self.assertIn(f"{run.summary['solver']}, test accuracy", run._repr_html_())
            net = ffzero.load(folder)
            images = ffzero.make_glyphs(5, 20, 20)[0]
            self.assertEqual(net.predict(images).shape, (20,))
            with self.assertRaises(ffzero.UsageError):
                ffzero.train(None, keys, out=folder)
            with self.assertRaises(FileNotFoundError):
                ffzero.read_run(folder / "nothing")
            with self.assertRaises(FileNotFoundError):
                ffzero.load(folder / "nothing")

    def test_stop_and_go_on(self):
        with tempfile.TemporaryDirectory() as place:
            keys = {"dataset.name": "glyphs", "model.layers": [30], "training.epochs": 2}
            whole = ffzero.train(None, keys, out=os.path.join(place, "whole"), report=False)
            part = ffzero.train(None, keys, out=os.path.join(place, "part"), report=False, stop=lambda: True)
            self.assertIsNone(part.summary)
            rest = ffzero.train(out=os.path.join(place, "part"), resume=True, report=False)
            np.testing.assert_array_equal(whole.checkpoint["layer0.theta"], rest.checkpoint["layer0.theta"])

    def test_train_on_samples_and_devices_of_the_program(self):
        x, y = table(90)
        keys = {**CONFIG, "training.epochs": 6, "training.save_every_s": 0, "seed": 3}
        with tempfile.TemporaryDirectory() as place:
            def folder(name):
                return os.path.join(place, name)

            whole = ffzero.train(None, keys, data=(x, y), devices=[new_bench()], out=folder("whole"), report=True)
            self.assertEqual(whole.config["dataset"]["name"], "memory")
            self.assertGreater(whole.summary["final"]["test"], 0.6)
            self.assertEqual(whole.summary["information"], "opaque")
            self.assertTrue((pathlib.Path(folder("whole")) / "report.html").exists())

            class OutOfCoffee(Exception):
                pass

            calls = []

            def failing(theta, x):
                calls.append(1)
                if len(calls) > 60:
                    raise OutOfCoffee("empty")
                return bench(theta, x)

            with self.assertRaisesRegex(OutOfCoffee, "empty"):
                ffzero.train(None, keys, data=(x, y), devices=[new_bench(failing)], out=folder("part"), report=False)
            self.assertIsNone(ffzero.read_run(folder("part")).summary)
            rest = ffzero.train(data=(x, y), devices=[new_bench()], out=folder("part"), resume=True, report=False)
            np.testing.assert_array_equal(whole.checkpoint["layer0.theta"], rest.checkpoint["layer0.theta"])
            net = ffzero.load(folder("part"), devices=[new_bench()])
            self.assertEqual(net.predict(x).shape, (90,))

    def test_say_what_is_wrong_with_data(self):
        x, y = table()
        with tempfile.TemporaryDirectory() as place:
            out = os.path.join(place, "run")
            for data, error, words in (
                ((x, y[:5]), ValueError, "as many samples"),
                ((x,), ValueError, "X_test"),
                ((x.astype(object), y), TypeError, "dtype object"),
                ((x, np.array(["a"] * len(y))), TypeError, "labels must be numbers"),
                ((x * np.nan, y), ffzero.DataError, "finite"),
                ((x[:2], y[:2]), ValueError, "at least 3 samples"),
            ):
                with self.assertRaisesRegex(error, words):
                    ffzero.train(None, CONFIG, data=data, out=out)
                self.assertFalse(os.path.exists(out))
            with self.assertRaisesRegex(ffzero.ConfigError, "take the place of the data set"):
                ffzero.train(None, {"dataset.name": "glyphs"}, data=(x, y), out=out)
            ffzero.train(None, {"training.epochs": 2, "model.layers": [6]}, data=(x, y), out=out, report=False, stop=lambda: True)
            with self.assertRaisesRegex(ffzero.FfzeroError, "must be given again"):
                ffzero.train(out=out, resume=True)
            self.assertIsNotNone(ffzero.train(data=(x, y), out=out, resume=True, report=False).summary)

    def test_control_c_waits_for_the_step_and_saves(self):
        program = """
import numpy as np, ffzero, os, signal, sys, threading, time
x, y = np.random.default_rng(0).normal(size=(64, 4)).astype("f"), np.arange(64) % 2
ended = []
def bench(theta, x):
    if len(ended) == 50:
        threading.Timer(0.005, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        time.sleep(0.05)
    ended.append(time.monotonic())
    return np.tanh(x @ theta.reshape(4, 6))
device = ffzero.device(bench, inputs=4, outputs=6, parameters=24, range=(-2, 2))
try:
    ffzero.train(None, {"training.epochs": 100000}, data=(x, y), devices=[device], out=sys.argv[1], report=False)
except KeyboardInterrupt:
    print("interrupted", len(ended) > 50, time.monotonic() - ended[50] < 1.0)
run = ffzero.train(data=(x, y), devices=[device], out=sys.argv[1], resume=True, report=False, stop=lambda: len(ended) > 200)
print(run.summary)
"""
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-c", program, os.path.join(place, "run")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.stdout, "interrupted True True\nNone\n", done.stderr)


if __name__ == "__main__":
    unittest.main()
