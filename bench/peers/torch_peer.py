#!/usr/bin/env python3
"""The work of `ffzero train`, written in PyTorch as a careful user of that library would: the other side of bench/peers/compare.py.

  torch_peer.py mlp  --data DIR [--directions M]     784-100-100-100-10, margin loss, layer by layer, two evaluations a direction
  torch_peer.py cnn  --data DIR [--channels 4,4]     6x6 convolutions with batch norm, then one dense layer, all channels perturbed at once
  torch_peer.py bp   --data DIR                      the dense network with ReLU, cross-entropy, backpropagation and Adam
  torch_peer.py mesh [--ports 784]                   single steps of an interferometer mesh, batch 128

All images lie in one float tensor before the clock starts, an epoch ends with one pass over the test set, and no forward pass is made that is
not needed. One JSON object a line: {"layer", "epoch" or "step", "wall_s", "test"}; the last line holds the peak memory of the process.
Needs PyTorch on a fast BLAS (Debian: python3-torch and libopenblas0).
"""
import argparse
import gzip
import json
import os
import pathlib
import resource
import sys
import time

EPS = 1e-3
BATCH = 256


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["mlp", "cnn", "bp", "mesh"])
    parser.add_argument("--data", help="folder with the four gzipped IDX files of MNIST")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="of mesh")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--directions", type=int, default=1)
    parser.add_argument("--channels", default="4,4")
    parser.add_argument("--ports", type=int, default=784)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="use only so many images (smoke tests)")
    options = parser.parse_args()
    if options.work != "mesh" and not options.data:
        parser.error("--data is needed")
    return options


OPTIONS = parse()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(OPTIONS.threads)
import torch  # noqa: E402  (after the thread counts)
import torch.nn.functional as F  # noqa: E402


def require_fast_blas():
    torch.mm(torch.ones(32, 32), torch.ones(32, 32))
    loaded = pathlib.Path("/proc/self/maps").read_text()
    if not any(word in loaded for word in ("openblas", "mkl", "libblis")):
        sys.exit("torch_peer.py: PyTorch multiplies without a fast BLAS here, so the comparison would be unfair; install libopenblas0")


class Stopwatch:
    """Prints one line for the time since it was started."""

    def __init__(self):
        self.start, self.cpu = time.perf_counter(), time.process_time()

    def line(self, **facts):
        print(json.dumps({**facts, "wall_s": round(time.perf_counter() - self.start, 6), "cpu_s": round(time.process_time() - self.cpu, 6)}), flush=True)


def read_idx(path, header):
    with gzip.open(path) as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=header)


def read_split(folder, prefix, limit):
    pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16).float().reshape(-1, 784) / 255
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8).long()
    low, high = pixels.amin(1, keepdim=True), pixels.amax(1, keepdim=True)
    images = (pixels - low) / (high - low + 1e-8)
    return (images[:limit], labels[:limit]) if limit else (images, labels)


def prototypes(dimension, classes=10):
    """Rotated simplex, one column a class."""
    corners = torch.eye(classes, dimension)
    corners = F.normalize(corners - corners.mean(0), dim=1)
    rotation, upper = torch.linalg.qr(torch.randn(dimension, dimension))
    return (corners @ (rotation * upper.diagonal().sign())).T.contiguous()


def margin_sum(scores, labels):
    """Sum over classes of max(0, 0.3 + s_k - s_true); the classes are the last dimension."""
    truth = scores.gather(-1, labels.expand(scores.shape[:-1]).unsqueeze(-1))
    return (scores - truth + 0.3).clamp_min(0).sum(-1)


def uniform_weights(shape, fan_in):
    return (torch.rand(shape) * 2 - 1) * fan_in**-0.5


def batches(images, labels):
    order = torch.randperm(len(images))
    for first in range(0, len(order), BATCH):
        rows = order[first:first + BATCH]
        yield images[rows], labels[rows]


class DenseLayer:
    def __init__(self, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs
        self.theta = torch.cat([uniform_weights(outputs * inputs, inputs), uniform_weights(outputs, inputs)])
        self.targets = prototypes(outputs)

    def split(self, theta):
        cut = self.outputs * self.inputs
        return theta[..., :cut].unflatten(-1, (self.outputs, self.inputs)), theta[..., cut:]

    def outputs_of(self, x):
        return F.linear(x, *self.split(self.theta))

    def scores(self, x):
        return F.normalize(self.outputs_of(x), dim=1) @ self.targets

    def losses(self, weights, biases, x, labels):
        """Losses at several weights (V, H, D) and biases (V, H), in one product if there are more than two."""
        if len(weights) == 2:
            return torch.stack([margin_sum(F.normalize(F.linear(x, w, b), dim=1) @ self.targets, labels).sum() for w, b in zip(weights, biases)])
        z = F.linear(x, weights.flatten(0, 1), biases.flatten()).unflatten(1, biases.shape)
        return margin_sum(F.normalize(z, dim=2) @ self.targets, labels.unsqueeze(1)).sum(0)

    def step(self, x, labels):
        m, size = OPTIONS.directions, self.theta.numel()
        directions = F.normalize(torch.randn(m, size), dim=1)
        moves = EPS * directions
        weights, biases = self.split(self.theta)
        weight_moves, bias_moves = self.split(moves)
        values = self.losses(torch.cat([weights + weight_moves, weights - weight_moves]), torch.cat([biases + bias_moves, biases - bias_moves]),
                             x, labels)
        slopes = (values[:m] - values[m:]) / (2 * EPS)
        self.theta -= OPTIONS.lr * size / m * (slopes @ directions)


class ConvLayer:
    def __init__(self, inputs, side, channels):
        self.inputs, self.channels, self.side = inputs, channels, side - 1  # 6 x 6 with padding 2
        self.kernels = uniform_weights((channels, inputs, 6, 6), 36 * inputs)
        self.weight, self.bias = torch.ones(channels), torch.zeros(channels)
        self.projection = uniform_weights((channels, self.side**2, 10), self.side**2)
        self.targets = torch.stack([prototypes(10) for _ in range(channels)])

    def maps(self, x, kernels, weight, bias):
        return F.batch_norm(F.conv2d(x, kernels, padding=2), None, None, weight, bias, training=True)

    def channel_scores(self, x, *theta):
        z = self.maps(x, *theta).flatten(2).transpose(0, 1) @ self.projection
        return F.normalize(z, dim=2) @ self.targets

    def scores(self, x):
        return self.channel_scores(x, self.kernels, self.weight, self.bias).sum(0)

    def outputs_of(self, x):
        return torch.cat([F.max_pool2d(self.maps(part, self.kernels, self.weight, self.bias).relu(), 2) for part in x.split(BATCH)])

    def step(self, x, labels):
        size = self.inputs * 36 + 2
        total = torch.zeros(self.channels, size)
        for _ in range(OPTIONS.directions):
            d = F.normalize(torch.randn(self.channels, size), dim=1)
            move = (d[:, :-2].reshape_as(self.kernels), d[:, -2], d[:, -1])
            sides = [margin_sum(self.channel_scores(x, *(t + e * v for t, v in zip((self.kernels, self.weight, self.bias), move))), labels).sum(1)
                     for e in (EPS, -EPS)]
            total += ((sides[0] - sides[1]) / (2 * EPS)).unsqueeze(1) * d
        total *= OPTIONS.lr * size / OPTIONS.directions
        self.kernels -= total[:, :-2].reshape_as(self.kernels)
        self.weight -= total[:, -2]
        self.bias -= total[:, -1]


def train_layer(name, layer, train, test):
    for epoch in range(OPTIONS.epochs):
        watch = Stopwatch()
        for x, labels in batches(*train):
            layer.step(x, labels)
        hits = sum((layer.scores(x).argmax(1) == y).sum().item() for x, y in zip(test[0].split(2500), test[1].split(2500)))
        watch.line(layer=name, epoch=epoch + 1, test=hits / len(test[1]))
    return (layer.outputs_of(train[0]), train[1]), (layer.outputs_of(test[0]), test[1])


@torch.no_grad()
def dense(train, test):
    for i, width in enumerate((100, 100, 100, 10)):
        train, test = train_layer(f"dense{i}", DenseLayer(train[0].shape[1], width), train, test)


@torch.no_grad()
def conv(train, test):
    train, test = [(x.unflatten(1, (1, 28, 28)), y) for x, y in (train, test)]
    for i, channels in enumerate(int(c) for c in OPTIONS.channels.split(",")):
        train, test = train_layer(f"conv{i}", ConvLayer(train[0].shape[1], train[0].shape[2], channels), train, test)
    train, test = [(x.flatten(1), y) for x, y in (train, test)]
    train_layer("dense", DenseLayer(train[0].shape[1], 10), train, test)


def backprop(train, test):
    widths = (784, 100, 100, 100, 10)
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(network.parameters(), lr=OPTIONS.lr)
    for epoch in range(OPTIONS.epochs):
        watch = Stopwatch()
        for x, labels in batches(*train):
            adam.zero_grad(set_to_none=True)
            F.cross_entropy(network(x), labels).backward()
            adam.step()
        with torch.no_grad():
            hits = (network(test[0]).argmax(1) == test[1]).float().mean().item()
        watch.line(layer="all", epoch=epoch + 1, test=hits)


@torch.no_grad()
def mesh():
    n, rows = OPTIONS.ports, 128
    light = torch.randn(rows, n, dtype=torch.complex64)
    labels, targets = torch.randint(10, (rows, 1)), prototypes(n)
    theta, phi, gamma = torch.rand(n, n // 2) * 3, torch.rand(n, n // 2) * 6, torch.rand(n) * 6

    def loss(theta, phi, gamma):
        field = light * torch.polar(torch.ones(n), gamma)
        sine, cosine = (theta / 2).sin(), (theta / 2).cos()
        phase = 1j * torch.polar(torch.ones_like(phi), phi)
        for column in range(n):
            odd = column % 2
            pairs = (n - odd) // 2
            s, c = sine[column, :pairs], cosine[column, :pairs]
            upper, lower = field[:, odd:odd + 2 * pairs:2], field[:, odd + 1:odd + 2 * pairs:2]
            after = field * -1j if odd and n % 2 == 0 else field.clone()
            after[:, odd:odd + 2 * pairs:2] = phase[column, :pairs] * (s * upper + c * lower)
            after[:, odd + 1:odd + 2 * pairs:2] = 1j * (c * upper - s * lower)
            field = after
        power = field.real.square() + field.imag.square()
        return 1 - (F.normalize(power, dim=1) @ targets).gather(1, labels).mean()

    for step in range(OPTIONS.steps):
        watch = Stopwatch()
        phases = (theta, phi, gamma)
        moves = [F.normalize(torch.randn(p.numel()), dim=0).view_as(p) for p in phases]
        slope = (loss(*(p + EPS * d for p, d in zip(phases, moves))) - loss(*(p - EPS * d for p, d in zip(phases, moves)))) / (2 * EPS)
        for p, d in zip(phases, moves):
            p -= OPTIONS.lr * p.numel() * slope * d
        watch.line(layer=f"mesh{n}", step=step + 1)


def main():
    require_fast_blas()
    torch.set_num_threads(OPTIONS.threads)
    torch.manual_seed(OPTIONS.seed)
    if OPTIONS.work == "mesh":
        mesh()
    else:
        folder = pathlib.Path(OPTIONS.data)
        splits = [read_split(folder, prefix, OPTIONS.limit) for prefix in ("train", "t10k")]
        {"mlp": dense, "cnn": conv, "bp": backprop}[OPTIONS.work](*splits)
    print(json.dumps({"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


main()
