"""Classifier and Regressor, as their users call them."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings

import numpy as np

import ffzero

try:
    import sklearn
    from sklearn.utils.estimator_checks import check_estimator
except ImportError:
    sklearn = None


def blobs(n=120, classes=3, features=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, features)) + 3.0 * np.eye(features)[y % features]
    return x, y


class TestClassifier(unittest.TestCase):
    def test_learns_labels_of_any_type(self):
        x, y = blobs()
        for labels in (y, np.array(["a", "b", "c"])[y], y.astype(float) + 5, y == 1):
            net = ffzero.Classifier(random_state=1).fit(x, labels)
            self.assertGreater(net.score(x, labels), 0.9)
            self.assertEqual(net.classes_.dtype, np.unique(labels).dtype)
            self.assertGreater(net.forward_evals_, 0)
            self.assertEqual(net.n_features_in_, 4)
            proba = net.predict_proba(x)
            np.testing.assert_allclose(proba.sum(axis=1), 1.0)
            np.testing.assert_array_equal(net.classes_[proba.argmax(axis=1)], net.predict(x))

    def test_gives_the_same_row_alone_and_in_a_batch(self):
        x, y = blobs()
        net = ffzero.Classifier(random_state=1).fit(x, y)
        whole = net.predict_proba(x)
        for batch in (1, 7, 64):
            parts = np.concatenate([net.predict_proba(x[i : i + batch]) for i in range(0, len(x), batch)])
            np.testing.assert_array_equal(parts, whole)

    def test_gives_the_same_network_for_the_same_seed_and_any_threads(self):
        x, y = blobs()
        first = ffzero.Classifier(random_state=3, threads=1).fit(x, y).predict_proba(x)
        again = ffzero.Classifier(random_state=3, threads=2).fit(x, y).predict_proba(x)
        other = ffzero.Classifier(random_state=4, threads=1).fit(x, y).predict_proba(x)
        np.testing.assert_array_equal(first, again)
        self.assertFalse((first == other).all())

    def test_takes_images(self):
        x, y, test_x, test_y = ffzero.make_glyphs(1, 600, 100)
        self.assertEqual(x.dtype, np.uint8)
        net = ffzero.Classifier(layers=[100], epochs=10, random_state=1).fit(x, y)
        self.assertGreater(net.score(test_x, test_y), 0.5)
        np.testing.assert_array_equal(net.predict(test_x), net.predict(test_x.reshape(len(test_x), -1)))

    def test_survives_pickle_and_files(self):
        x, y = blobs()
        labels = np.array(["no", "yes", "maybe"])[y]
        net = ffzero.Classifier(random_state=1).fit(x, labels)
        again = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(again.predict_proba(x), net.predict_proba(x))
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "net.npz")
            net.save(file)
            np.testing.assert_array_equal(net.classes_[ffzero.load(file).predict(x)], net.predict(x))

    def test_does_not_depend_on_the_order_of_the_rows(self):
        x, y = blobs()
        order = np.random.default_rng(5).permutation(len(x))
        first = ffzero.Classifier(random_state=1).fit(x, y).predict_proba(x)
        again = ffzero.Classifier(random_state=1).fit(x[order], y[order]).predict_proba(x)
        np.testing.assert_array_equal(first, again)

    def test_counts_weights(self):
        x, y = blobs()
        net = ffzero.Classifier(random_state=1).fit(x, y, sample_weight=np.where(y == 2, 1e-6, 1.0))
        self.assertLess((net.predict(x) == 2).mean(), 0.1)

    def test_refuses_in_one_line(self):
        x, y = blobs()
        bad = x.copy()
        bad[3, 1] = np.nan
        for change, error in (
            ((bad, y), ValueError),
            ((x[:0], y[:0]), ValueError),
            ((x, y[:-1]), ValueError),
            ((x, np.zeros(len(x))), ValueError),
            ((x, y + 0.5), ValueError),
            ((x[:, 0], y), ValueError),
            ((x + 1j, y), ValueError),
        ):
            with self.assertRaises(error) as raised:
                ffzero.Classifier(random_state=1).fit(*change)
            self.assertNotIn("Traceback", str(raised.exception))
        with self.assertRaisesRegex(ValueError, "layers"):
            ffzero.Classifier(layers="wide").fit(x, y)
        with self.assertRaisesRegex(ffzero.ConfigError, "training.epoch"):
            ffzero.Classifier(config={"training.epoch": 3}).fit(x, y)
        with self.assertRaisesRegex(ValueError, "preset"):
            ffzero.Classifier(preset="nonsense").fit(x, y)
        with self.assertRaisesRegex(ValueError, "features"):
            ffzero.Classifier(random_state=1).fit(x, y).predict(x[:, :2])

    def test_takes_configurations(self):
        x, y = blobs()
        for config in ({"gradient": {"estimator": "adjoint"}}, {"gradient.estimator": "adjoint"}, "[gradient]\nestimator = \"adjoint\"\n"):
            net = ffzero.Classifier(config=config, random_state=1).fit(x, y)
            self.assertEqual(net.summary_["information"], "adjoint")

    def test_warns_of_few_steps_and_says_how_many(self):
        x, y = blobs(n=60)
        with self.assertWarns(UserWarning) as caught:
            few = ffzero.Classifier(epochs=10, random_state=1).fit(x, y)
        self.assertEqual(type(caught.warning).__name__, "ConvergenceWarning")
        if sklearn is not None:
            from sklearn.exceptions import ConvergenceWarning

            self.assertIsInstance(caught.warning, ConvergenceWarning)
        self.assertEqual(caught.filename, __file__)
        # 60 samples are 4 batches; by outputs alone the automatic number of epochs takes 7500 steps.
        found = re.fullmatch(
            r"Classifier has trained each layer for (\d+) steps \(10 epochs\), where 60 samples usually take (\d+): it is most likely "
            r'undertrained; use epochs="auto", or epochs=(\d+)',
            str(caught.warning),
        )
        self.assertIsNotNone(found, str(caught.warning))
        steps, fewest, epochs = (int(n) for n in found.groups())
        self.assertEqual(epochs, -(-fewest * 10 // steps))
        self.assertEqual(few.n_iter_, 10)
        with self.assertWarns(UserWarning):
            ffzero.Regressor(epochs=2, random_state=1).fit(x, x[:, 0])
        # What it advises, what it takes by itself, and a twentieth of that are enough.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            advised = ffzero.Classifier(epochs=epochs, random_state=1).fit(x, y)
            alone = ffzero.Classifier(random_state=1).fit(x, y)
            ffzero.Classifier(epochs=-(-epochs // 20), random_state=1).fit(x, y)
            # Thousands of images are another matter.
            images, digits, _, _ = ffzero.make_glyphs(1, 2000, 10)
            ffzero.Classifier(layers=[20], epochs=1, random_state=1).fit(images, digits)
        self.assertEqual(advised.n_iter_, alone.n_iter_)

    @unittest.skipIf(sklearn is None, "scikit-learn is not installed")
    def test_fits_into_scikit_learn(self):
        from sklearn.base import clone
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        x, y = blobs()
        net = ffzero.Classifier(random_state=1, epochs=30)
        self.assertEqual(clone(net).get_params(), net.get_params())
        self.assertGreater(cross_val_score(make_pipeline(StandardScaler(), net), x, y, cv=3).mean(), 0.8)
        search = GridSearchCV(net, {"layers": [[8], [16]]}, cv=2).fit(x, y)
        self.assertIn(search.best_params_["layers"], ([8], [16]))


class TestRegressor(unittest.TestCase):
    def test_gives_values_in_the_units_of_y(self):
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, size=(300, 3))
        y = 100.0 + 20.0 * x[:, 0] - 10.0 * x[:, 1]
        net = ffzero.Regressor(random_state=1).fit(x, y)
        self.assertGreater(net.score(x, y), 0.8)
        self.assertEqual(net.predict(x).shape, (300,))
        both = ffzero.Regressor(random_state=1).fit(x, np.stack([y, -y], axis=1))
        self.assertEqual(both.predict(x).shape, (300, 2))
        again = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(again.predict(x), net.predict(x))


class TestContract(unittest.TestCase):
    @unittest.skipIf(sklearn is None, "scikit-learn is not installed")
    def test_of_scikit_learn(self):
        failures = []
        for estimator in (ffzero.Classifier(random_state=0), ffzero.Regressor(random_state=0)):
            for instance, check in check_estimator(estimator, generate_only=True):
                try:
                    check(instance)
                except unittest.SkipTest:  # a check that needs a package that is not there
                    continue
                except Exception as error:  # all of them are told, not the first alone
                    name = getattr(check, "func", check).__name__
                    failures.append(f"{type(estimator).__name__} {name}: {type(error).__name__}: {error}")
        self.assertEqual(failures, [])


class TestInterrupts(unittest.TestCase):
    def test_control_c_ends_a_fit(self):
        program = """
import numpy as np, ffzero, os, signal, threading
x, y = np.random.default_rng(0).normal(size=(4000, 20)), np.arange(4000) % 2
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    ffzero.Classifier(epochs=100000, random_state=1, threads=1).fit(x, y)
except KeyboardInterrupt:
    print("interrupted")
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout, "interrupted\n", done.stderr)


if __name__ == "__main__":
    unittest.main()
