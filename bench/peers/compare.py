#!/usr/bin/env python3
"""ffzero against PyTorch on the same work, side by side on one machine.

  compare.py --binary build/release/ffzero --data DIR --out bench/baselines/<machine>.json     run everything, keep the numbers
  compare.py --table bench/baselines/<machine>.json                                            the table of docs/benchmarks.md

DIR holds the gzipped IDX files of MNIST. All programs take turns, one repetition of every row after another, so that a slow minute of the machine
meets all of them. Every row gives medians and the ratio peer / ours with its quartiles over the repetitions. Run it on a quiet machine.
  compare.py --binary build/release/ffzero --data DIR --two-threads --out bench/baselines/<machine>-two-threads.json
                                        what two threads gain, beside what two processes at once gain: the limit of this machine

--other-peer SCRIPT times a second script with the interface of torch_peer.py as well; --earlier PROGRAM an earlier ffzero, to see whether a row has
become slower (with --ours-only no PyTorch is needed).
"""
import argparse
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import ffzero_runs  # noqa: E402

PAPER = ["--dataset", "mnist", "--preset", "paper", "--set", "training.log_samples=0"]
MESH_STEPS = {784: 300, 64: 800}  # many, since training begins with a few evaluations that check the network
TRAIN, TEST, BATCH = 60000, 10000, 256
DENSE = ((784, 100), (100, 100), (100, 100), (100, 10))


class Row:
    """One line of the table: what each side runs, how its seconds are read off, and the least that the arithmetic takes (see floor_*)."""

    def __init__(self, ours, read_ours, peer, read_peer, floor=None):
        self.ours, self.read_ours, self.peer, self.read_peer, self.floor = ours, read_ours, peer, read_peer, floor


# ---- What is read off ---------------------------------------------------------------------------------------------------------------------


def peer_epoch(run):
    """Seconds of one epoch of all layers: of each layer its fastest."""
    layers = {}
    for line in run["lines"]:
        if "epoch" in line:
            layers.setdefault(line["layer"], []).append(line["wall_s"])
    return sum(min(times) for times in layers.values())


def peer_step(run):
    return min(line["wall_s"] for line in run["lines"] if line.get("step", 0) > 1)


def peer_reach(level, whole=False):
    def read(run):
        seconds = 0.0
        for line in run["lines"]:
            seconds += line.get("wall_s", 0.0)
            if line.get("test", 0.0) >= level:
                # Start-up: what the process took besides its epochs.
                return seconds + (run["seconds"] - sum(l.get("wall_s", 0.0) for l in run["lines"]) if whole else 0.0)
        return None

    return read


def ours_epoch(run):
    return ffzero_runs.epoch_seconds(run)


def ours_reach(level, whole=False):
    def read(run):
        for line in run["epochs"]:
            if line["test"] is not None and line["test"] >= level:
                return line["wall_s"] + (run["summary"]["wall_s"]["load"] if whole else 0.0)
        return None

    return read


def ours_step(ports):
    return lambda run: run["summary"]["wall_s"]["training"] / MESH_STEPS[ports]


def whole(run):
    return run["seconds"]


# ---- Floors: multiply-adds, numbers and bytes of a row over what this machine does of each in a second -------------------------------------


def floor_dense(layers, products, numbers=0.0, share=1.0):
    """products: dense products of the batch with the weights, a step; share: of the first layer's inputs that are not 0."""
    adds = sum(i * o * (share if k == 0 else 1.0) for k, (i, o) in enumerate(layers))
    parameters = sum(o * (i + 1) for i, o in layers)
    steps = -(-TRAIN // BATCH)
    return lambda m: ((TRAIN * products + TEST) * adds / m["multiply_adds_per_s"] + steps * numbers * parameters / m["normals_per_s"])


def floor_backprop(share):
    adds = sum(i * o * (share if k == 0 else 1.0) for k, (i, o) in enumerate(DENSE))
    inner = sum(i * o for i, o in DENSE[1:])
    return lambda m: ((TRAIN * 2 + TEST) * adds + TRAIN * inner) / m["multiply_adds_per_s"]


def floor_cnn():
    # Taps, output positions of the two convolutions, 4 channels each; both need z and one direction, and the projections of all of them.
    convolutions = 4 * (27 * 27 * 36 + 12 * 12 * 4 * 36)
    projections = 4 * 10 * (27 * 27 + 12 * 12)
    dense = 4 * 6 * 6 * 10
    return lambda m: (2 * TRAIN + TEST) * (convolutions + projections + dense) / m["multiply_adds_per_s"]


def floor_mesh(ports):
    # Two evaluations of the batch, 6 fused operations on a real number each (3 shears of 2 numbers) an interferometer.
    return lambda m: 2 * 128 * ports * (ports - 1) / 2 * 6 / m["multiply_adds_per_s"]


def rows(options):
    def ff(*more, epochs=options.epochs):
        return [*PAPER, "--solver", "ff_dd", "--epochs", str(epochs), *more]

    def signs(name):
        return ["--set", f"gradient.distribution={name}"]

    def mesh(crop):
        return ["--dataset", "mnist", "--preset", "paper", "--model", "photonic", "--layers", "1", "--solver", "ff_dd", "--epochs", "2", "--set",
                f"dataset.crop={crop}", "--set", "training.log_test=false", "--set", "training.log_samples=0", "--budget",
                str(2 * 128 * MESH_STEPS[crop * crop])]

    mlp = ["mlp", "--epochs", str(options.whole_epochs)]
    mlp10 = ["mlp", "--epochs", "1", "--directions", "10"]
    bp = ["bp", "--epochs", str(options.bp_epochs)]
    exact = ["--dataset", "mnist", "--preset", "adjoint", "--layers", "200", "--epochs", "2", "--set", "training.log_samples=0"]
    return {
        "dense `ff_dd`, m = 1, dense arithmetic": Row(ff("--set", "model.skip_zeros=false"), ours_epoch, mlp, peer_epoch, floor_dense(DENSE, 2, 1)),
        "dense `ff_dd`, m = 1, Gaussian": Row(ff(epochs=options.whole_epochs), ours_epoch, mlp, peer_epoch, floor_dense(DENSE, 2, 1, 0.19)),
        "dense `ff_dd`, m = 1, signs (peer: Gaussian)": Row(ff(*signs("rademacher")), ours_epoch, mlp, peer_epoch, floor_dense(DENSE, 2, 0, 0.19)),
        "dense `ff_dd`, m = 10, Gaussian": Row(ff("--directions", "10"), ours_epoch, mlp10, peer_epoch, floor_dense(DENSE, 11, 10, 0.19)),
        "dense `ff_dd`, m = 10, Hadamard (peer: Gaussian)": Row(ff("--directions", "10", *signs("hadamard")), ours_epoch, mlp10, peer_epoch,
                                                                floor_dense(DENSE, 2, 0, 0.19)),
        "CNN 4, 4 `ff_dd`": Row(ff("--model", "cnn"), ours_epoch, ["cnn", "--epochs", "1"], peer_epoch, floor_cnn()),
        "dense `bp_ad`, ReLU": Row([*PAPER, "--solver", "bp_ad", "--epochs", str(options.epochs), "--set", "model.activation=relu"], ours_epoch, bp,
                                   peer_epoch, floor_backprop(0.19)),
        "mesh, 784 ports, one step": Row(mesh(28), ours_step(784), ["mesh", "--ports", "784", "--steps", "4"], peer_step, floor_mesh(784)),
        "mesh, 64 ports, one step": Row(mesh(8), ours_step(64), ["mesh", "--ports", "64", "--steps", "20"], peer_step, floor_mesh(64)),
        f"whole command, dense `ff_dd`, {options.whole_epochs} epochs a layer": Row(ff(epochs=options.whole_epochs), whole, mlp, whole),
        "to 97 % test, exact local gradient (peer: backprop), training": Row(exact, ours_reach(0.97), bp, peer_reach(0.97)),
        "the same with start-up": Row(exact, ours_reach(0.97, True), bp, peer_reach(0.97, True)),
    }


# ---- Running ------------------------------------------------------------------------------------------------------------------------------


def run_ours(binary, arguments, options):
    return ffzero_runs.train(binary, [*arguments, "--data-dir", str(pathlib.Path(options.data).parent)], options.threads)


def run_peer(script, arguments, options):
    data = [] if arguments[0] == "mesh" else ["--data", options.data]
    command = [options.python, script, *arguments, *data, "--threads", str(options.threads)]
    output, seconds, memory = ffzero_runs.timed(command, options.threads)
    return {"lines": [json.loads(line) for line in output.splitlines()], "seconds": seconds, "memory": memory}


def limits(options):
    """This machine's own limits, from the kernel benchmarks beside the program: multiply-adds and normal numbers a second, one thread."""
    folder = pathlib.Path(options.binary).resolve().parent / "bench"
    if not (folder / "bench_random").exists():
        return {}

    def first_row(program, wanted):
        output = subprocess.run([folder / program, f"--benchmark_filter={wanted}", "--benchmark_format=json"], capture_output=True, text=True,
                                check=True, env=ffzero_runs.environment(1)).stdout
        return json.loads(output)["benchmarks"][0]

    product = first_row("bench_dense", "product_nt/64/100/784")
    return {"multiply_adds_per_s": 0.5e9 * product["GFLOP/s"] / product["of_gemm_peak"],
            "normals_per_s": first_row("bench_random", "^normals")["numbers/s"]}


def run(options):
    table = {name: row for name, row in rows(options).items() if options.only in name}
    peers = {"peer": str(HERE / "torch_peer.py"), **({"other": options.other_peer} if options.other_peer else {})}
    programs = {"ours": options.binary, **({"earlier": options.earlier} if options.earlier else {})}
    result = {"command": ffzero_runs.command_of("bench/peers/compare.py"), "machine": ffzero_runs.machine(), "threads": options.threads,
              "limits": limits(options), "rows": {name: {who: [] for who in (*programs, *peers)} for name in table}}
    for row_name, row in table.items():
        result["rows"][row_name]["floor_s"] = row.floor(result["limits"]) / options.threads if row.floor and result["limits"] else None
    for repetition in range(options.repetitions):
        known = {}  # rows that share a run share its numbers
        for name, row in table.items():
            sides = {who: (lambda binary=binary: run_ours(binary, row.ours, options), row.ours, row.read_ours) for who, binary in programs.items()}
            for who, script in ({} if options.ours_only else peers).items():
                sides[who] = (lambda script=script: run_peer(script, row.peer, options), row.peer, row.read_peer)
            for who, (start, arguments, read) in sides.items():
                key = (who, tuple(arguments))
                if key not in known:
                    known[key] = start()
                measured = known[key]
                result["rows"][name][who].append({"value": read(measured), "seconds": measured["seconds"], "memory": measured["memory"]})
            values = ", ".join(f"{who} {result['rows'][name][who][-1]['value']}" for who in sides)
            print(f"{repetition + 1}/{options.repetitions}  {name}: {values}", file=sys.stderr, flush=True)
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return result


def run_two_threads(options):
    """Each row on one thread, on two, and twice at once on one thread each (the slower of both counts), in turns."""
    table = {name: row for name, row in rows(options).items() if options.only in name}
    ways = {"one": 1, "two": 2}
    if options.earlier:
        ways["earlier"] = 2
    result = {"command": ffzero_runs.command_of("bench/peers/compare.py"), "machine": ffzero_runs.machine(),
              "rows": {name: {way: [] for way in (*ways, "both")} for name in table}}

    def seconds(row, threads, binary):
        options.threads = threads
        return row.read_ours(run_ours(binary, row.ours, options))

    for repetition in range(options.repetitions):
        for name, row in table.items():
            for way, threads in ways.items():
                result["rows"][name][way].append({"value": seconds(row, threads, options.earlier if way == "earlier" else options.binary)})
            with concurrent.futures.ThreadPoolExecutor(2) as at_once:
                both = list(at_once.map(lambda _: seconds(row, 1, options.binary), range(2)))
            result["rows"][name]["both"].append({"value": max(both) if all(both) else None})
            print(f"{repetition + 1}/{options.repetitions}  {name}", file=sys.stderr, flush=True)
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return result


# ---- The table ----------------------------------------------------------------------------------------------------------------------------


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3


def seconds_text(value):
    return f"{value:.3g} s" if value >= 0.1 else f"{1e3 * value:.3g} ms"


def median_of(row, who):
    values = [entry["value"] for entry in row.get(who, []) if entry["value"]]
    return statistics.median(values) if values else None


def ratio_text(row, who):
    pairs = [p["value"] / o["value"] for p, o in zip(row.get(who, []), row["ours"]) if p["value"] and o["value"]]
    if not pairs:
        return ""
    low, middle, high = quartiles(pairs)
    return f"**{middle:.2f}** ({low:.2f} .. {high:.2f})"


def floor_text(floor, ours):
    if not floor or not ours:
        return ""
    # What is beaten is no floor: the limits were measured at a slower moment, or by slower kernels.
    return f"{seconds_text(floor)} ({ours / floor:.2f})" if ours >= floor else "none: ours is below what was measured as the limit"


def print_earlier(result):
    """What has become of each row since the earlier program: its seconds over those of now."""
    print("\n| work | earlier | now | earlier / now |\n|---|---|---|---|")
    for name, row in result["rows"].items():
        before, now = median_of(row, "earlier"), median_of(row, "ours")
        if before and now:
            print(f"| {name} | {seconds_text(before)} | {seconds_text(now)} | {ratio_text(row, 'earlier')} |")


def print_table(result):
    facts = result["machine"]
    others = any(row.get("other") for row in result["rows"].values())
    print(f"{facts['processor']} ({facts['vectors']}), {result['threads']} thread(s), OpenBLAS for {facts.get('blas', 'an unknown processor')}, medians of "
          f"{max(len(r['ours']) for r in result['rows'].values())} interleaved repetitions; ratio: peer / ours, with quartiles. Memory: peak, peer / ours. "
          f"Floor: see below; in brackets how many times longer ours takes.\n")
    print("| work | ffzero | PyTorch | ratio | " + ("other peer | ratio | " if others else "") + "memory | floor |")
    print("|---|---|---|---|" + ("---|---|" if others else "") + "---|---|")
    for name, row in result["rows"].items():
        ours = median_of(row, "ours")
        cells = [name, seconds_text(ours) if ours else "not reached"]
        for who in ("peer", "other") if others else ("peer",):
            value = median_of(row, who)
            cells += [seconds_text(value) if value else "", ratio_text(row, who)]
        memory = [p["memory"] / o["memory"] for p, o in zip(row.get("peer", []), row["ours"])]
        floor = row.get("floor_s")
        cells += [f"{statistics.median(memory):.1f}" if memory else "", floor_text(floor, ours)]
        print("| " + " | ".join(cells) + " |")
    if any(row.get("earlier") for row in result["rows"].values()):
        print_earlier(result)


def print_scaling(one, two):
    """Seconds on one thread over seconds on two."""
    print("| work | one thread | two threads | ratio |\n|---|---|---|---|")
    for name, row in one["rows"].items():
        a, b = median_of(row, "ours"), median_of(two["rows"].get(name, {"ours": []}), "ours")
        if a and b:
            print(f"| {name} | {seconds_text(a)} | {seconds_text(b)} | **{a / b:.2f}** |")


def print_two_threads(result):
    earlier = any(row.get("earlier") for row in result["rows"].values())
    print(f"{result['machine']['processor']} ({result['machine']['vectors']})\n")
    print("| work | one thread | two threads | gain | two processes |" + (" gain before |" if earlier else "") + "\n|---|---|---|---|---|" + ("---|" if earlier else ""))
    for name, row in result["rows"].items():
        one, two, both, before = (median_of(row, way) for way in ("one", "two", "both", "earlier"))
        if one and two and both:
            print(f"| {name} | {seconds_text(one)} | {seconds_text(two)} | **{one / two:.2f}** | {2 * one / both:.2f} |" + (f" {one / before:.2f} |" if before else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", help="print the table of an earlier run and do nothing else")
    parser.add_argument("--scaling", nargs=2, metavar=("ONE", "TWO"), help="print what two threads gain, from an earlier run of each")
    parser.add_argument("--two-threads", action="store_true", help="what two threads gain over one, and two processes; no peers")
    parser.add_argument("--binary", default="build/release/ffzero")
    parser.add_argument("--data", default="")
    parser.add_argument("--out", default="bench/baselines/last.json")
    parser.add_argument("--python", default="python3", help="an interpreter that has PyTorch")
    parser.add_argument("--other-peer", default="", help="a second script with the interface of torch_peer.py")
    parser.add_argument("--earlier", default="", help="an earlier ffzero, timed beside the binary")
    parser.add_argument("--ours-only", action="store_true", help="do not run the peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=3, help="of each layer; the first does not count")
    parser.add_argument("--whole-epochs", type=int, default=5, help="of each layer in the row that times whole commands")
    parser.add_argument("--bp-epochs", type=int, default=8, help="of the peer's backpropagation")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    options = parser.parse_args()
    if options.table:
        result = json.loads(pathlib.Path(options.table).read_text())
        (print_table if "limits" in result else print_two_threads)(result)
    elif options.scaling:
        print_scaling(*(json.loads(pathlib.Path(name).read_text()) for name in options.scaling))
    elif not options.data:
        parser.error("--data is needed")
    elif options.two_threads:
        print_two_threads(run_two_threads(options))
    else:
        print_table(run(options))


main()
