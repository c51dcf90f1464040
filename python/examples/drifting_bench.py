# %% [markdown]
# A bench that is not its data sheet: outputs that are dead, gains that drift, noise. It is trained in place, by readings alone.
#
#   python3 python/examples/drifting_bench.py
# SPDX-License-Identifier: MIT

# %%
from typing import Any

import numpy as np
import numpy.typing as npt

import ffzero

INPUTS, OUTPUTS = 49, 40
Array = npt.NDArray[Any]


class Bench:
    """49 light sources, 40 detectors, 1,960 knobs in [-1, 1]. One detector in ten is dead; gains wander by a percent in a thousand readings."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.alive = (np.arange(OUTPUTS) % 10 != 3).astype(np.float32)
        self.gain = np.ones(OUTPUTS, dtype=np.float32)

    def __call__(self, knobs: Array, light: Array) -> Array:
        self.gain += np.float32(0.01 * np.sqrt(len(light) / 1000)) * self.random.normal(size=OUTPUTS).astype(np.float32)
        clean = np.tanh(light @ knobs.reshape(INPUTS, OUTPUTS)) * self.gain * self.alive
        return np.asarray(clean + 2e-3 * self.random.normal(size=clean.shape).astype(np.float32))


# %%
# Digits of the built-in set, 7 x 7 pixels.
images, digits, test_images, test_digits = ffzero.make_glyphs(1, 2000, 500)
small = images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255.0
small_test = test_images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255.0

# %%
# What a network that was trained elsewhere is worth on this bench: nothing that anybody could read from it. So it is trained where it is used.
for epochs in (1, 6):
    with ffzero.device(Bench(3), inputs=INPUTS, outputs=OUTPUTS, parameters=INPUTS * OUTPUTS, range=(-1, 1), noise=2e-3) as device:
        net = ffzero.Classifier(devices=[device], epochs=epochs, random_state=1).fit(small, digits)
        accuracy = net.score(small_test, test_digits)
        print(f"{epochs} epochs: test accuracy {accuracy:.3f} after {device.receipt['readings']} readings")
assert accuracy > 0.3, "three times what guessing gives"
