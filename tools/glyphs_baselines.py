#!/usr/bin/env python3
# Measures how hard a set of labelled images is: linear, nearest-neighbour, dense and convolutional classifiers.
# SPDX-License-Identifier: MIT
"""Usage: glyphs_baselines.py DIR | FILE.npz  [--only linear,knn,mlp,cnn] [--seed S]

DIR holds the four IDX files that `ffzero datasets export glyphs --dir DIR` writes (gzipped or not); FILE.npz holds x_train, y_train,
x_test, y_test. Pixels are scaled image by image to [0, 1] by their minimum and maximum, as the program does. Needs NumPy and PyTorch."""
import argparse
import gzip
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


def read_idx(folder, name):
    plain, packed = folder / name, folder / (name + ".gz")
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(place):
    if place.suffix == ".npz":
        with np.load(place) as file:
            arrays = [file[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    else:
        names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
        arrays = [read_idx(place, name) for name in names]
    return scaled(arrays[0]), labels(arrays[1]), scaled(arrays[2]), labels(arrays[3])


def labels(y):
    return torch.tensor(y.astype(np.int64))


def scaled(images):
    x = torch.tensor(np.array(images, dtype=np.float32)).flatten(1)
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    return (x - low) / (high - low + 1e-8)


def accuracy(scores, y):
    return (scores.argmax(1) == y).float().mean().item()


def linear(data, l2):
    """Multinomial logistic regression, full batch L-BFGS to convergence."""
    x, y, tx, ty = data
    weight = torch.zeros(x.shape[1], 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def loss():
        solver.zero_grad()
        value = F.cross_entropy(x @ weight + bias, y) + l2 * (weight**2).sum()
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        return accuracy(x @ weight + bias, y), accuracy(tx @ weight + bias, ty)


def nearest(data, k):
    """k nearest neighbours, Euclidean distance."""
    x, y, tx, ty = data
    near = torch.cdist(tx, x).topk(k, largest=False).indices
    votes = F.one_hot(y[near], 10).sum(1).float()
    votes.scatter_add_(1, y[near[:, :1]], torch.full((len(ty), 1), 0.5))  # the nearest one breaks ties
    return accuracy(votes, ty)


def shifted(x, reach):
    """Each image moved by up to `reach` pixels, empty borders filled with 0."""
    n = len(x)
    padded = F.pad(x.view(n, 28, 28), (reach,) * 4)
    rows = torch.randint(0, 2 * reach + 1, (n, 1)) + torch.arange(28)
    columns = torch.randint(0, 2 * reach + 1, (n, 1)) + torch.arange(28)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)


def train(network, data, epochs, reach):
    """Adam with a cosine schedule, batches of 100; the last epoch's test accuracy."""
    x, y, tx, ty = data
    solver = torch.optim.Adam(network.parameters(), 1e-3)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(solver, epochs)
    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(len(x)).split(100):
            solver.zero_grad()
            images = shifted(x[batch], reach) if reach else x[batch]
            F.cross_entropy(network(images), y[batch]).backward()
            solver.step()
        plan.step()
    network.eval()
    with torch.no_grad():
        return accuracy(network(tx), ty)


def dense(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def convolutional():
    nn = torch.nn
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Dropout(0.4), nn.Linear(32 * 49, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=pathlib.Path)
    parser.add_argument("--only", default="linear,knn,mlp,cnn")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    data = load(arguments.place)
    print(f"{len(data[1])} train, {len(data[3])} test")
    runs = {
        "linear": [(f"linear, L2 {l2:g}: train, test", lambda l2=l2: linear(data, l2)) for l2 in (0.0, 1e-4, 3e-4, 1e-3, 3e-3)],
        "knn": [(f"{k} nearest", lambda k=k: nearest(data, k)) for k in (1, 3, 5)],
        "mlp": [("784-256-256-10 relu, 20 epochs", lambda: train(dense(784, 256, 256, 10), data, 20, 0)),
                ("784-500-500-10 relu, shifts of 2, 40 epochs", lambda: train(dense(784, 500, 500, 10), data, 40, 2))],
        "cnn": [("two convolutions of 16 and 32, 12 epochs", lambda: train(convolutional(), data, 12, 0))],
    }
    for kind in arguments.only.split(","):
        for title, measure in runs[kind]:
            begin = time.time()
            values = measure()
            shown = " ".join(f"{v:.4f}" for v in (values if isinstance(values, tuple) else (values,)))
            print(f"{title}: {shown}  ({time.time() - begin:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
