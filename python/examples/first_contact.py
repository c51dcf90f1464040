"""Two networks without backpropagation: the built-in digits, and a device that is a Python function.

  python3 python/examples/first_contact.py
SPDX-License-Identifier: MIT
"""

from typing import Any

import numpy as np
import numpy.typing as npt

import ffzero

# Pictures of digits, drawn from a seed: no file, no network.
images, digits, test_images, test_digits = ffzero.make_glyphs(1, 2000, 500)
net = ffzero.Classifier(layers=[100], epochs=5, random_state=1).fit(images, digits)
print(f"digits: test accuracy {net.score(test_images, test_digits):.3f} after {net.forward_evals_} forward evaluations")


# A bench: 49 light sources, 32 detectors, 1568 knobs between 0 and 5 V. It can be asked for readings, and for nothing else.
detectors = np.random.default_rng(7)


def bench(volts: npt.NDArray[np.float32], light: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    gains = (volts.reshape(49, 32) - 2.5) / 2.5
    return np.asarray(np.tanh(light @ gains) + 1e-3 * detectors.normal(size=(len(light), 32)))


small = images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255.0
small_test = test_images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255.0
with ffzero.device(bench, inputs=49, outputs=32, parameters=1568, range=(0, 5), safe=2.5, unit="V", noise=1e-3) as device:
    print(ffzero.check_device(device))
    net = ffzero.Classifier(devices=[device], epochs=5, random_state=1).fit(small, digits)
    receipt = device.receipt
    print(
        f"bench: test accuracy {net.score(small_test, test_digits):.3f}, {receipt['readings']} readings, {receipt['seconds']:.1f} s on the device"
    )
