#!/usr/bin/env python3
"""ffzero against PyTorch on the same work, side by side on one machine.

  compare.py --binary build/release/apps/ffzero/ffzero --data DIR --out bench/baselines/<machine>.json     run everything, keep the numbers
  compare.py --table bench/baselines/<machine>.json                                                        the table of docs/benchmarks.md

DIR holds the gzipped IDX files of MNIST. Both programs take turns, one repetition of every row after another, so that a slow minute of the machine
meets both. Every row gives medians and the ratio peer / ours with its quartiles over the repetitions. Run it on a quiet machine.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import ffzero_runs  # noqa: E402

PEER = HERE / "torch_peer.py"
PAPER = ["--dataset", "mnist", "--preset", "paper", "--set", "training.log_samples=0"]
MESH_STEPS = {784: 40, 64: 800}


class Side:
    """How to start one program for a row, and how to read one number of seconds off it."""

    def __init__(self, arguments, read):
        self.arguments, self.read = arguments, read


def peer_epoch(lines):
    layers = {}
    for line in lines:
        if line.get("epoch", 0) > 1:
            layers.setdefault(line["layer"], []).append(line["wall_s"])
    return sum(min(times) for times in layers.values())


def peer_step(lines):
    return min(line["wall_s"] for line in lines if line.get("step", 0) > 1)


def ours_step(ports):
    return lambda run: run["summary"]["wall_s"]["training"] / MESH_STEPS[ports]


def reach(lines, level):
    """Seconds of training until the test accuracy reaches the level, None if it never does."""
    seconds = 0.0
    for line in lines:
        seconds += line.get("wall_s", 0.0)
        if line.get("test", 0.0) >= level:
            return seconds
    return None


def ours_reach(run, level):
    for line in run["epochs"]:
        if line["test"] is not None and line["test"]["value"] >= level:
            return line["wall_s"]
    return None


def ours(arguments, read=ffzero_runs.epoch_seconds):
    return Side(arguments, read)


def peer(arguments, read=peer_epoch):
    return Side(arguments, read)


def rows(epochs, whole_epochs):
    ff = ["--solver", "ff_dd", "--epochs", str(epochs)]
    dense = peer(["dense", "--epochs", str(epochs)])
    dense10 = peer(["dense", "--epochs", str(epochs), "--directions", "10"])

    def mesh(crop):
        return ["--dataset", "mnist", "--preset", "paper", "--model", "photonic", "--layers", "1", "--solver", "ff_dd", "--epochs", "2", "--set",
                f"dataset.crop={crop}", "--set", "training.log_test=false", "--set", "training.log_samples=0", "--budget",
                str(2 * 128 * MESH_STEPS[crop * crop])]

    def signs(name):
        return ["--set", f"gradient.distribution={name}"]

    return {
        "dense ff_dd, m = 1, Gaussian": (ours([*PAPER, *ff]), dense),
        "dense ff_dd, m = 1, signs (peer: Gaussian)": (ours([*PAPER, *ff, *signs("rademacher")]), dense),
        "dense ff_dd, m = 10, Gaussian": (ours([*PAPER, *ff, "--directions", "10"]), dense10),
        "dense ff_dd, m = 10, Hadamard (peer: Gaussian)": (ours([*PAPER, *ff, "--directions", "10", *signs("hadamard")]), dense10),
        "CNN 4, 4 ff_dd": (ours([*PAPER, *ff, "--model", "cnn"]), peer(["conv", "--epochs", str(epochs)])),
        "dense bp_ad, ReLU": (ours([*PAPER, "--solver", "bp_ad", "--epochs", str(epochs), "--set", "model.activation=relu"]),
                              peer(["backprop", "--epochs", str(epochs)])),
        "mesh, 784 ports, one step": (ours(mesh(28), ours_step(784)), peer(["mesh", "--ports", "784", "--steps", "4"], peer_step)),
        "mesh, 64 ports, one step": (ours(mesh(8), ours_step(64)), peer(["mesh", "--ports", "64", "--steps", "20"], peer_step)),
        "whole command, dense ff_dd": (ours([*PAPER, "--solver", "ff_dd", "--epochs", str(whole_epochs)], None),
                                       peer(["dense", "--epochs", str(whole_epochs)], None)),
        "to 97 % without backprop (peer: backprop)": (
            ours(["--dataset", "mnist", "--preset", "activity", "--layers", "400,400", "--epochs", "4", "--set", "training.log_samples=0"],
                 lambda run: ours_reach(run, 0.97)),
            peer(["backprop", "--epochs", "20"], lambda lines: reach(lines, 0.97))),
    }


def measure_ours(side, options):
    data = ["--data-dir", options.data]
    run = ffzero_runs.train(options.binary, [*side.arguments, *data], options.threads)
    return {"value": run["seconds"] if side.read is None else side.read(run), "seconds": run["seconds"], "memory": run["memory"]}


def measure_peer(side, options):
    data = [] if side.arguments[0] == "mesh" else ["--data", options.data]
    command = [options.python, str(PEER), *side.arguments, *data, "--threads", str(options.threads)]
    output, seconds, memory = ffzero_runs.timed(command, options.threads)
    lines = [json.loads(line) for line in output.splitlines()]
    return {"value": seconds if side.read is None else side.read(lines), "seconds": seconds, "memory": memory}


def run(options):
    table = {name: sides for name, sides in rows(options.epochs, options.whole_epochs).items() if options.only in name}
    result = {"command": shlex.join(["bench/peers/compare.py", *sys.argv[1:]]), "machine": ffzero_runs.machine(), "threads": options.threads,
              "rows": {name: {"ours": [], "peer": []} for name in table}}
    for repetition in range(options.repetitions):
        known = {}  # rows that share a peer share its run
        for name, (our_side, peer_side) in table.items():
            key = (tuple(peer_side.arguments), peer_side.read)
            result["rows"][name]["ours"].append(measure_ours(our_side, options))
            if key not in known:
                known[key] = measure_peer(peer_side, options)
            result["rows"][name]["peer"].append(known[key])
            pair = [result["rows"][name][who][-1]["value"] for who in ("peer", "ours")]
            print(f"{repetition + 1}/{options.repetitions}  {name}: peer {pair[0]}, ours {pair[1]}", file=sys.stderr, flush=True)
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return result


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3


def seconds_text(value):
    return f"{value:.3g} s" if value >= 0.1 else f"{1e3 * value:.3g} ms"


def print_table(result):
    facts = result["machine"]
    print(f"{facts['processor']} ({facts['vectors']}), {result['threads']} thread(s), median of "
          f"{max(len(r['ours']) for r in result['rows'].values())} interleaved repetitions; ratio: peer / ours, with quartiles.\n")
    print("| work | PyTorch | ffzero | ratio | memory |\n|---|---|---|---|---|")
    for name, row in result["rows"].items():
        pairs = [(p["value"], o["value"]) for p, o in zip(row["peer"], row["ours"]) if p["value"] and o["value"]]
        memory = statistics.median(p["memory"] / o["memory"] for p, o in zip(row["peer"], row["ours"]))
        if not pairs:
            print(f"| {name} | not reached | not reached | | {memory:.1f} |")
            continue
        low, middle, high = quartiles([p / o for p, o in pairs])
        print(f"| {name} | {seconds_text(statistics.median(p for p, _ in pairs))} | {seconds_text(statistics.median(o for _, o in pairs))} | "
              f"**{middle:.2f}** ({low:.2f} .. {high:.2f}) | {memory:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", help="print the table of an earlier run and do nothing else")
    parser.add_argument("--binary", default="build/release/apps/ffzero/ffzero")
    parser.add_argument("--data", default="")
    parser.add_argument("--out", default="bench/baselines/last.json")
    parser.add_argument("--python", default="python3", help="an interpreter that has PyTorch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=3, help="of each layer; the first does not count")
    parser.add_argument("--whole-epochs", type=int, default=5, help="of each layer in the row that times whole commands")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    options = parser.parse_args()
    if options.table:
        print_table(json.loads(pathlib.Path(options.table).read_text()))
    elif not options.data:
        parser.error("--data is needed")
    else:
        print_table(run(options))


main()
