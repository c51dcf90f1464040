#!/usr/bin/env python3
"""The signature of ffzero: what every kind of run gives, in integers, and bit for bit between two programs.

  tools/signature.py FFZERO                    prints the signature: a line a cell, evaluations and right answers
  tools/signature.py FFZERO --check FILE       compares with FILE; exits with 1 and names the cells that differ
  tools/signature.py FFZERO --write FILE       writes FILE anew (a commit that does so says which cells changed, and why)
  tools/signature.py OLD --against NEW         runs both programs on this machine and compares every array of their checkpoints bit for
                                               bit; --only TEXT: cells whose name holds TEXT

Evaluations, parameters, information and vote follow from the settings and hold on any machine. Right answers may differ by SLACK
between two BLAS kernels, where a sample lies on a border; the comparison of two programs on one machine has no slack.
Needs nothing but Python's standard library.
SPDX-License-Identifier: MIT
"""

import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

CLASSES, SIDE, TRAIN, TEST = 4, 12, 96, 48
SLACK = 3  # of 48 right answers, or hundredths of R^2

DENSE = "--set model.layers=[24,16] --batch-size 16 --epochs 2 "
CNN = "--model cnn --set model.conv.channels=[3,2] --set model.conv.kernel=[3] --set model.layers=[12] --batch-size 16 --epochs 1 "
MESH = "--model photonic --set dataset.crop=4 --batch-size 16 --epochs 2 "
CHIP = "--set model.mesh.chip.coupler=0.06 --set model.mesh.chip.phase=0.06"
SINGLE = "--preset adjoint --set gradient.estimator=coordinate --set gradient.distribution=one_sided --lr 0.1"
TWO_MESHES = MESH + "--set model.mesh.layers=2 "

# Every cell trains with the presets' other values; --lr keeps plain steps from standing still or running away in a few steps.
CELLS = {}
for model, common in (("mlp", DENSE), ("cnn", CNN), ("mesh", MESH), ("meshes", TWO_MESHES)):
    for solver in ("ff_dd", "ff_ad", "bp_dd", "bp_ad") + (("ff_activity",) if model in ("mlp", "cnn") else ("ff_coordinate",)):
        CELLS[f"{model}_{solver}"] = f"{common}--solver {solver}"
CELLS |= {
    "mlp_default": "--set model.layers=[24,16] --epochs 2 --batch-size 16",
    "mlp_paper_ff_dd": DENSE + "--preset paper --solver ff_dd",
    "mlp_paper_ff_ad": DENSE + "--preset paper --solver ff_ad",
    "mlp_groups": DENSE + "--solver ff_dd --set model.groups=2 --set model.layers=[32,32] --set gradient.directions=3",
    "mlp_one_loss": DENSE + "--solver ff_dd --set model.groups=2 --set model.layers=[32,32] --set gradient.one_loss=true",
    "mlp_hadamard": DENSE + "--solver ff_dd --set gradient.distribution=hadamard --set gradient.directions=4",
    "mlp_gaussian": DENSE + "--solver ff_dd --set gradient.distribution=gaussian --set gradient.directions=2",
    "mlp_coordinate_directions": DENSE + "--solver ff_dd --set gradient.distribution=coordinate --set gradient.directions=8",
    "mlp_aligned": DENSE + "--solver ff_dd --set gradient.aggregation=aligned --set gradient.directions=3",
    "mlp_recycle": DENSE + "--solver ff_dd --set gradient.recycle=0.5 --set gradient.directions=2",
    "mlp_measured_eps": DENSE + "--solver ff_dd --set gradient.eps=measured",
    "mlp_measured_lr": DENSE + "--solver ff_dd --set update.lr=measured",
    "mlp_dropout": DENSE + "--solver ff_ad --set model.dropout=0.2 --set model.input_dropout=0.1",
    "mlp_dropout_dd": DENSE + "--solver ff_dd --set model.dropout=0.2",
    "mlp_pca": DENSE + "--solver ff_dd --set model.pca=[12,8]",
    "mlp_dct": DENSE + "--solver ff_ad --set model.pca=[16,0] --set model.front_end=dct",
    "mlp_span": DENSE + "--solver ff_activity --set gradient.distribution=span --set gradient.directions=4",
    "mlp_full": DENSE + "--solver ff_activity --set gradient.distribution=full --set gradient.directions=4",
    "mlp_grouped_scope": DENSE + "--set objective.scope=grouped --set objective.block_layers=2 --set gradient.estimator=directional",
    "mlp_margin": DENSE + "--solver ff_ad --set objective.loss=margin",
    "mlp_n_pair": DENSE + "--solver ff_dd --set objective.loss=n_pair",
    "mlp_cosine": DENSE + "--solver ff_ad --set objective.loss=cosine",
    "mlp_sgd_step": DENSE + "--solver ff_ad --set update.rule=sgd --set update.schedule=step --lr 0.1",
    "mlp_momentum": DENSE + "--solver ff_ad --set update.rule=momentum --set update.schedule=plateau --lr 0.01",
    "mlp_warmup_decay": DENSE + "--solver bp_ad --set update.warmup=4 --set update.weight_decay=0.01",
    "mlp_hold_norm": DENSE + "--solver ff_dd --set update.hold_norm=true",
    "mlp_tanh_length": DENSE + "--solver ff_ad --set model.activation=tanh --set model.normalise=length",
    "mlp_pre": DENSE + "--solver ff_ad --set model.local_loss_at=pre",
    "mlp_shift_flip": DENSE + "--solver ff_ad --set dataset.shift=1 --set dataset.flip=true",
    "mlp_vote_majority": DENSE + "--solver ff_ad --set vote.rule=majority",
    "mlp_vote_sum": DENSE + "--solver ff_ad --set vote.rule=sum",
    "mlp_vote_validated": DENSE + "--solver ff_ad --set vote.rule=validated --set dataset.validation=16",
    "mlp_layer_table": DENSE + "--solver ff_dd LAYER_TABLE",
    "mlp_budget": DENSE + "--solver ff_dd --budget 300",
    "mlp_control": DENSE + "--solver ff_ad --control",
    "mlp_importance": DENSE + "--solver ff_dd --set model.groups=2 --set model.layers=[32,32] --set gradient.importance_samples=6",
    "mlp_crossbar_io": DENSE + "--solver ff_dd --set model.map=crossbar_io",
    "mlp_crossbar_pcm": DENSE + "--solver ff_dd --set model.map=crossbar_pcm",
    "mlp_imperfect": DENSE + "--solver ff_dd --set model.imperfect.read_noise=0.01 --set model.imperfect.dac_bits=8",
    "mlp_regression": "--regression --set model.layers=[16,10] --epochs 2 --batch-size 16 --solver ff_ad",
    "mlp_regression_dd": "--regression --set model.layers=[16,10] --epochs 2 --batch-size 16 --solver ff_dd",
    "mlp_regression_bp": "--regression --set model.layers=[16,10] --epochs 2 --batch-size 16 --solver bp_ad",
    "cnn_batch_statistics": CNN + "--solver ff_ad --set model.conv.batchnorm=batch",
    "cnn_one_loss": CNN + "--solver ff_dd --set gradient.one_loss=true",
    "cnn_paper": CNN + "--preset paper --solver ff_dd",
    "cnn_stride": CNN + "--solver ff_ad --set model.conv.stride=[2] --set model.conv.pool=[0] --set model.conv.padding=[1]",
    "mesh_amplitude": MESH + "--solver ff_dd --set dataset.optical_field=amplitude",
    "mesh_single_phases": MESH + f"{SINGLE} --set gradient.directions=20",
    "mesh_importance": MESH + f"{SINGLE} --set gradient.directions=20 --set gradient.importance_samples=4",
    "mesh_importance_dd": MESH + "--solver ff_dd --set gradient.importance_samples=6 --set objective.last_temperature=0.02",
    "mesh_chip": MESH + f"--solver ff_dd {CHIP} --set model.mesh.chip.read_noise=0.01 --set model.mesh.chip.dac_bits=8",
    "mesh_chip_drift": MESH + f"--solver ff_dd {CHIP} --set model.mesh.chip.drift_rms=0.1 --set model.mesh.chip.drift_time=0.01",
    "mesh_twin": MESH + f"--preset adjoint --set gradient.estimator=twin --set gradient.twin.steps=300 {CHIP}",
    "mesh_transfer": MESH + f"--preset adjoint --set gradient.estimator=transfer {CHIP}",
    "mesh_triangular": MESH + "--solver ff_ad --set model.mesh.layout=triangular",
    "mesh_parallel": MESH + "--solver ff_dd --set model.mesh.parallel=2",
    "mesh_readout": MESH + "--solver ff_dd --set model.mesh.readout=trained",
    "mesh_joint": MESH + "--solver ff_ad --set model.mesh.readout=joint",
    "mesh_paper": TWO_MESHES + "--preset paper --solver ff_dd",
    "meshes_gain": TWO_MESHES + "--solver ff_ad --set model.mesh.gain=2.5 --set model.mesh.nonlinearity=detect",
}


def npy(shape, kind, data):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * ((64 - (10 + len(header) + 1) % 64) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def random_bytes(seed):
    """Numbers 0 .. 255 of a small generator: the same everywhere."""
    state = seed * 2654435761 + 1
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 56


def write_images(path):
    """A pattern of its own for each class, under noise."""
    arrays = {}
    pattern = random_bytes(7)
    classes = [[next(pattern) > 127 for _ in range(SIDE * SIDE)] for _ in range(CLASSES)]
    noise = random_bytes(11)
    for name, count in (("train", TRAIN), ("test", TEST)):
        pixels = bytearray()
        for i in range(count):
            for bright in classes[i % CLASSES]:
                pixels.append((next(noise) * 3 // 5) + (100 if bright else 0))
        arrays[f"x_{name}"] = npy((count, SIDE, SIDE), "|u1", bytes(pixels))
        arrays[f"y_{name}"] = npy((count,), "|u1", bytes(i % CLASSES for i in range(count)))
    write_npz(path, arrays)


def write_functions(path):
    """y = a linear function and a product of five numbers in (-1, 1)."""
    arrays = {}
    draw = random_bytes(13)
    for name, count in (("train", TRAIN), ("test", TEST)):
        x = [[(next(draw) - 127.5) / 128.0 for _ in range(5)] for _ in range(count)]
        y = [r[0] - 0.5 * r[1] + r[2] * r[3] for r in x]
        arrays[f"x_{name}"] = npy((count, 5), "<f4", struct.pack(f"<{count * 5}f", *[v for r in x for v in r]))
        arrays[f"y_{name}"] = npy((count,), "<f4", struct.pack(f"<{count}f", *y))
    write_npz(path, arrays)


def write_npz(path, arrays):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(zipfile.ZipInfo(name + ".npy"), data)


LAYER_TABLE = '[[layer]]\nindex = 1\ngradient.directions = 3\nupdate.rule = "adam"\nupdate.lr = 0.01\n'


def run_cell(program, name, folder):
    arguments = CELLS[name].split()
    data = folder / "images.npz"
    if "--regression" in arguments:
        arguments.remove("--regression")
        data = folder / "functions.npz"
    if "LAYER_TABLE" in arguments:
        arguments.remove("LAYER_TABLE")
        table = folder / "layer_table.toml"
        table.write_text(LAYER_TABLE)
        arguments.insert(0, str(table))
    # A data set is what it was when this list was made, whatever new settings do to others by default.
    out = folder / name
    command = [program, "train", *arguments, "--dataset", "npz", "--data-dir", str(data), "--threads", "1", "--seed", "3", "--no-report",
               "--quiet", "--json", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"signature.py: cell {name}: {' '.join(command)}\nexit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout), out


def count(summary, value, split):
    samples = TEST if split == "test" else TRAIN - (16 if summary.get("validation") else 0)
    return round(value * samples)


def integers(summary):
    evaluations = summary["forward_evals"]
    parts = [f"{key}={evaluations[key]}" for key in ("training", "propagation", "logging", "pullbacks") if key in evaluations]
    parts.append(f"information={summary['information']}")
    parts.append("parameters=" + ",".join(str(layer["parameters"]) for layer in summary["layers"]))
    if summary["final"]["metric"] == "accuracy":
        parts.append("right=" + ",".join(str(count(summary, layer["test"]["value"], "test")) for layer in summary["layers"]))
        parts.append(f"final={count(summary, summary['final']['test'], 'test')}")
    else:
        # Hundredths of R^2: far coarser than rounding.
        parts.append("r2=" + ",".join(str(round(100 * layer["test"]["value"])) for layer in summary["layers"]))
    if summary.get("vote"):
        parts.append(f"vote={summary['vote']['rule']}")
    return " ".join(parts)


def signature(program, names, folder):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda name: (name, integers(run_cell(program, name, folder)[0])), names)
    return dict(results)


def arrays_of(out):
    with zipfile.ZipFile(out / "checkpoint.npz") as archive:
        # "meta" holds times; what a run recorded is compared through the summary.
        return {name: archive.read(name) for name in archive.namelist() if name != "meta.npy"}


def without_times(summary):
    return {key: value for key, value in summary.items() if key not in ("wall_s", "peak_rss_bytes", "machine", "version")}


def shared_fields(old, new):
    """Fields of old with what new says in their place: new names beside old ones are no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: shared_fields(value, new[key]) if key in new else None for key, value in old.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [shared_fields(a, b) for a, b in zip(old, new)]
    return new


def compare(old, new, names, folder):
    different = []
    for name in names:
        one, two = folder / "old", folder / "new"
        for side in (one, two):
            side.mkdir(exist_ok=True)
            for data in folder.glob("*.npz"):
                (side / data.name).write_bytes(data.read_bytes())
        old_summary, old_out = run_cell(old, name, one)
        new_summary, new_out = run_cell(new, name, two)
        a, b = arrays_of(old_out), arrays_of(new_out)
        wrong = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        old_facts = without_times(old_summary)
        if old_facts != shared_fields(old_facts, without_times(new_summary)):
            wrong.append("summary.json")
        print(f"{name}: {'the same bits' if not wrong else 'DIFFERENT: ' + ', '.join(wrong)}", flush=True)
        if wrong:
            different.append(name)
    return different


def same(wanted, found):
    """True if two signatures agree: exactly, but for SLACK in what was learned."""
    if wanted is None:
        return False
    one, two = (dict(part.split("=", 1) for part in text.split()) for text in (wanted, found))
    if one.keys() != two.keys():
        return False
    for key, value in one.items():
        if key not in ("right", "final", "r2"):
            if value != two[key]:
                return False
            continue
        a, b = value.split(","), two[key].split(",")
        if len(a) != len(b) or any(abs(int(x) - int(y)) > SLACK for x, y in zip(a, b)):
            return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--against")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    names = [name for name in CELLS if arguments.only in name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_images(folder / "images.npz")
        write_functions(folder / "functions.npz")
        if arguments.against:
            different = compare(arguments.program, arguments.against, names, folder)
            print(f"{len(names) - len(different)} of {len(names)} cells have the same bits")
            return 1 if different else 0
        found = signature(arguments.program, names, folder)
    lines = "".join(f"{name}: {values}\n" for name, values in found.items())
    if arguments.write:
        arguments.write.write_text(lines)
    elif arguments.check:
        wanted = dict(line.split(": ", 1) for line in arguments.check.read_text().splitlines() if line)
        wrong = [name for name in found if not same(wanted.get(name), found[name])]
        for name in wrong:
            print(f"{name}:\n  wanted {wanted.get(name)}\n  found  {found[name]}")
        print(f"{len(found) - len(wrong)} of {len(found)} cells have the signature of {arguments.check.name}")
        return 1 if wrong or (not arguments.only and set(wanted) != set(found)) else 0
    else:
        sys.stdout.write(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
