"""Devices in Python, ask and tell, runs."""

import concurrent.futures
import gc
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np

import ffzero
from ffzero._settings import overrides_of

try:
    import torch
except ImportError:
    torch = None

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

    def test_is_checked_at_its_address(self):
        report = ffzero.check_device("exec:false", calls=1)  # ends at once
        self.assertEqual([(step.name, step.status) for step in report], [("hello is answered in time", "failed")])
        self.assertFalse(report)

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


class Slopes:
    """The model of a device whose gain is another one, which it learns."""

    def __init__(self, gain=1.0, lr=0.0):
        self.gain, self.lr, self.calls = np.float32(gain), np.float32(lr), {"forward": 0, "pullback": 0, "learn": 0}

    def forward(self, theta, x):
        self.calls["forward"] += 1
        return np.tanh(self.gain * (x @ theta.reshape(4, 6)))

    def pullback(self, theta, x, gy):
        self.calls["pullback"] += 1
        y = np.tanh(self.gain * (x @ theta.reshape(4, 6)))
        return (x.T @ (self.gain * gy * (1 - y * y))).ravel()

    def learn(self, theta, x, y):
        self.calls["learn"] += 1
        z = x @ theta.reshape(4, 6)
        said = np.tanh(self.gain * z)
        self.gain -= self.lr * np.mean((said - y) * (1 - said * said) * z)


class TestImportance(unittest.TestCase):
    keys = {"gradient.estimator": "coordinate", "gradient.distribution": "one_sided", "gradient.directions": 3, "gradient.importance_samples": 5,
            "training.batch_size": 20, "update.lr": 0.05}

    def test_reads_a_batch_and_then_the_samples_that_are_drawn(self):
        x, y = table()
        rows = []

        def function(theta, samples):
            rows.append(len(samples))
            return bench(theta, samples)

        net = ffzero.Classifier(devices=[new_bench(function)], config=self.keys, epochs=40, random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.9)
        # 20 samples, then 5 of them as things stand and at three parameters moved.
        self.assertEqual(net.forward_evals_, 40 * 3 * (20 + 5 * (1 + 3)))
        first = rows.index(20)
        self.assertEqual(rows[first : first + 5], [20, 5, 5, 5, 5])


class TestTwin(unittest.TestCase):
    along = {"gradient.estimator": "twin", "gradient.twin.order": "along", "training.batch_size": 16, "update.lr": 0.05}

    def test_gives_the_slopes_of_the_device(self):
        x, y = table()
        model = Slopes()
        net = ffzero.Classifier(devices=[new_bench(twin=ffzero.Twin(model.pullback))], config=self.along, epochs=8, random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.9)
        self.assertEqual(net.summary_["information"], "twin")
        # One reading a sample and epoch: what a step costs with slopes that somebody knows.
        self.assertEqual(net.forward_evals_, 8 * len(x))
        self.assertEqual(net.summary_["forward_evals"]["pullbacks"], 8 * len(x))
        # The slopes are those of theta in [-1, 1], where the model's are per unit of the device.
        theta, step = np.linspace(-0.4, 0.5, 24).astype(np.float32), 1e-2
        gy = np.random.default_rng(2).normal(size=(60, 6)).astype(np.float32)
        device = new_bench()
        for i in range(24):
            moved = np.zeros(24, np.float32)
            moved[i] = step
            measured = np.sum(gy * (device(theta + moved, x) - device(theta - moved, x))) / (2 * step)
            self.assertAlmostEqual(2.0 * model.pullback(2 * theta, x, gy)[i], measured, delta=2e-2 * max(1.0, abs(measured)))

    def test_learns_along(self):
        x, y = table()
        model = Slopes(gain=0.4, lr=0.5)
        twin = ffzero.Twin(model.pullback, learn=model.learn)
        ffzero.Classifier(devices=[new_bench(twin=twin)], config=self.along, epochs=20, random_state=1).fit(x, y)
        self.assertAlmostEqual(float(model.gain), 1.0, delta=0.05)
        self.assertEqual(model.calls["learn"], model.calls["pullback"])

    def test_trains_on_the_twin_first(self):
        x, y = table()
        model = Slopes()
        twin = ffzero.Twin(model.pullback, forward=model.forward)
        keys = {**self.along, "gradient.twin.order": "first", "gradient.twin.refine": 2}
        device = new_bench(twin=twin)
        net = ffzero.Classifier(devices=[device], config=keys, epochs=10, random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.9)
        self.assertEqual(net.forward_evals_, 2 * len(x))
        self.assertEqual(model.calls["forward"], 8 * 4)

    def test_is_resumed_to_the_same_bits(self):
        x, y = table(90)
        keys = {**self.along, "training.epochs": 6, "training.save_every_s": 0, "seed": 3}

        def devices():
            return [new_bench(twin=ffzero.Twin(Slopes().pullback))]

        with tempfile.TemporaryDirectory() as place:
            whole = ffzero.train(None, keys, data=(x, y), devices=devices(), out=os.path.join(place, "whole"), report=False)
            told = []
            part = os.path.join(place, "part")
            ffzero.train(None, keys, data=(x, y), devices=devices(), out=part, report=False, on_epoch=told.append, stop=lambda: len(told) > 2)
            rest = ffzero.train(data=(x, y), devices=devices(), out=part, resume=True, report=False)
            np.testing.assert_array_equal(whole.checkpoint["layer0.theta"], rest.checkpoint["layer0.theta"])

    def test_says_what_is_wrong(self):
        x, y = table()

        def fit(twin, **keys):
            ffzero.Classifier(devices=[new_bench(twin=twin)], config={**self.along, **keys}, epochs=1, random_state=1).fit(x, y)

        with self.assertRaisesRegex(ffzero.ConfigError, "needs a device with a twin"):
            fit(None)
        with self.assertRaisesRegex(ffzero.ConfigError, "slopes alone"):
            fit(ffzero.Twin(Slopes().pullback), **{"gradient.twin.order": "first"})
        with self.assertRaisesRegex(ffzero.ConfigError, "twin of a photonic chip"):
            fit(ffzero.Twin(Slopes().pullback), **{"gradient.twin.fit_lr": 1e-3})
        with self.assertRaisesRegex(ValueError, r"pullback of the twin: must return an array of shape \(24,\)"):
            fit(ffzero.Twin(lambda theta, x, gy: gy))
        with self.assertRaisesRegex(TypeError, "got None"):
            fit(ffzero.Twin(lambda theta, x, gy: None))
        with self.assertRaisesRegex(ffzero.DeviceError, "finite slopes"):
            fit(ffzero.Twin(lambda theta, x, gy: theta * np.nan))
        with self.assertRaisesRegex(ZeroDivisionError, "division"):
            fit(ffzero.Twin(lambda theta, x, gy: 1 / 0))
        with self.assertRaises(TypeError):
            ffzero.Twin(3)
        with self.assertRaises(TypeError):
            new_bench(twin=Slopes())

    @unittest.skipIf(torch is None, "PyTorch is not installed")
    def test_is_a_module_of_torch(self):
        x, y = table()

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weights = torch.nn.Parameter(torch.zeros(4, 6))
                self.gain = torch.tensor(0.4, requires_grad=True)

            def errors(self):
                return [self.gain]

            def forward(self, inputs):
                return torch.tanh(self.gain * (inputs @ self.weights))

        module, model = Module(), Slopes(gain=0.4)
        twin = ffzero.torch_twin(module, lr=0.05)
        theta = np.linspace(-1, 1, 24).astype(np.float32)
        gy = np.ones((60, 6), np.float32)
        np.testing.assert_allclose(twin.forward(theta, x), model.forward(theta, x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(twin.pullback(theta, x, gy), model.pullback(theta, x, gy), rtol=1e-4, atol=1e-5)
        net = ffzero.Classifier(devices=[new_bench(twin=twin)], config=self.along, epochs=20, random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.9)
        self.assertAlmostEqual(float(module.gain), 1.0, delta=0.2)


class TestMemory(unittest.TestCase):
    def test_does_not_grow_with_the_fits(self):
        def resident():
            with open("/proc/self/statm", encoding="ascii") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        def fit(seed):
            keys = {"epochs": 1, "random_state": seed, "threads": 1}
            ffzero.Classifier(**keys).fit(x, y).predict(x)
            ffzero.Regressor(**keys).fit(x, y.astype(float))
            with new_bench() as device:
                ffzero.Classifier(devices=[device], **keys).fit(x, y)

        x, y = table()
        for seed in range(40):
            fit(seed)
        gc.collect()
        before = resident()
        for seed in range(120):
            fit(seed)
        gc.collect()
        # 360 fits: 6 KiB that each of them kept would be seen; the allocator's own pages come and go.
        self.assertLess(resident() - before, 360 * 6 * 1024)

    def test_a_device_serves_one_thread_after_the_other(self):
        inside, most = [], []

        def function(theta, x):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()
            return bench(theta, x)

        device = new_bench(function)
        theta, x = np.linspace(-1, 1, 24).astype(np.float32), np.ones((2, 4), np.float32)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: device(theta, x), range(40)))
        for answer in answers:
            np.testing.assert_array_equal(answer, answers[0])
        self.assertEqual(max(most), 1)
        self.assertEqual(device.receipt["readings"], 80)


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

    @unittest.skipUnless("FFZERO_EXACT_DEVICE" in os.environ, "FFZERO_EXACT_DEVICE names the program: ctest sets it")
    def test_are_the_bits_of_the_same_function_in_cpp(self):
        def exact(theta, x):
            # Sums from the first term on, in double, as the program adds them; sum() would add pairs.
            terms = x[:, :, None].astype(np.float64) * theta.reshape(x.shape[1], -1).astype(np.float64)
            total = np.add.accumulate(terms, axis=1)[:, -1, :]
            return total / (1.0 + np.abs(total))

        x, y = table(90)
        for outputs, extra in ((6, {"gradient.directions": 2}), (7, {"gradient.distribution": "rademacher"}),
                               (5, {"gradient.distribution": "coordinate", "objective.loss": "cosine"})):
            keys = {"training.epochs": 3, "training.batch_size": 16, "seed": 5, **extra}
            program = ffzero.connect(f"exec:'{os.environ['FFZERO_EXACT_DEVICE']}' 4 {outputs}")
            device = ffzero.device(exact, inputs=4, outputs=outputs, parameters=4 * outputs, range=(-2, 2))
            with self.subTest(outputs=outputs, **extra), tempfile.TemporaryDirectory() as place:
                runs = [ffzero.train(None, keys, data=(x, y), devices=[one], out=os.path.join(place, name), report=False)
                        for name, one in (("python", device), ("cpp", program))]
                ours, theirs = (run.checkpoint for run in runs)
                self.assertGreater(len([name for name in ours if name.startswith("layer0.")]), 1)
                for name in ours:
                    if name.startswith(("layer0.", "vote")):
                        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
                self.assertEqual(runs[0].summary["final"], runs[1].summary["final"])

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

    def test_go_on_with_other_settings_where_their_gate_stopped_them(self):
        keys = {"preset": "adjoint", "model.kind": "photonic", "model.mesh.layers": 1, "dataset.crop": 4, "gradient.estimator": "twin"}
        keys.update({"gradient.twin.steps": 1, "gradient.twin.gate": 1e-4, "gradient.twin.refine": 0, "gradient.fallback": "stop"})
        keys.update({"model.mesh.chip.coupler": 0.06, "model.mesh.chip.phase": 0.06, "training.epochs": 1})
        with tempfile.TemporaryDirectory() as place:
            out = os.path.join(place, "run")
            with self.assertRaisesRegex(ffzero.CheckError, "gradient.twin.gate = 0.0001"):
                ffzero.train(None, keys, out=out, report=False)
            with self.assertRaisesRegex(ValueError, "belongs to resume=True"):
                ffzero.train(None, keys, out=out, changes={"gradient.twin.gate": 1.0})
            run = ffzero.train(out=out, resume=True, changes={"gradient.twin.steps": 2000, "gradient.twin.gate": 1.0}, report=False)
            self.assertEqual(run.summary["forward_evals"]["training"], 1088)
            self.assertEqual(run.summary["forward_evals"]["failed"], 1088)

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
