# %% [markdown]
# The laboratory owns the loop: ffzero asks, the laboratory measures and tells. The loop is cut off in the middle and goes on as if nothing had
# happened.
#
#   python3 python/examples/ask_and_tell.py
# SPDX-License-Identifier: MIT

# %%
import io
import pathlib
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

import ffzero

random = np.random.default_rng(5)
labels = np.arange(120) % 3
samples = random.normal(size=(120, 4)) + 2.5 * np.eye(3, 4)[labels]
measured = 0


def measure(theta: npt.NDArray[np.float32], x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Stands for the instrument: 24 knobs, 4 inputs, 6 readings."""
    global measured
    measured += len(x)
    return np.asarray(np.tanh(x @ theta.reshape(4, 6)))


def session(saved: "pathlib.Path | None" = None) -> ffzero.Session:
    keys = {"training.epochs": 4, "training.batch_size": 20, "gradient.directions": 2}
    return ffzero.Session(keys, data=(samples, labels), inputs=4, outputs=6, parameters=24, range=(-2, 2), seed=3, saved=saved)


def answer(lab: ffzero.Session, most: float) -> bool:
    """Answers up to `most` questions; True when training is over."""
    answered = 0
    while answered < most and (question := lab.ask()) is not None:
        lab.tell(question.id, measure(question.theta, question.x))
        answered += 1
    return lab.finished


def parameters(lab: ffzero.Session) -> npt.NDArray[np.float32]:
    return np.asarray(np.load(io.BytesIO(lab.result().to_bytes()))["layer0.theta"])


# %%
# In one go.
with session() as lab:
    answer(lab, float("inf"))
    whole = parameters(lab)
readings = measured

# %%
# The power goes after every tenth answer; what was saved is gone on with, and no reading is taken twice.
measured = 0
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "session.npz"
    restarts, over = 0, False
    while not over:
        with session(file if restarts else None) as lab:
            over = answer(lab, 10)
            lab.save(file)
            if over:
                parts = parameters(lab)
            restarts += 1
same = np.array_equal(parts, whole)
print(f"{readings} readings; {restarts} sessions, {measured} readings, the same network: {same}")
assert same and measured == readings
