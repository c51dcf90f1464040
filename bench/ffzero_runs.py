"""Runs the ffzero program and reads off what its run folder says about time and memory. Used by pipeline/ and peers/."""
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import tempfile
import time


def environment(threads):
    """What every measured program is started with: so many threads, and kernels that the BLAS chooses for this processor."""
    variables = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    variables.pop("OPENBLAS_CORETYPE", None)
    return variables


def timed(command, threads, cwd=None):
    """Runs a command alone. Returns its standard output, wall seconds from start to end and peak memory in bytes."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(threads), cwd=cwd)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"failed ({process.returncode}): {' '.join(map(str, command))}\n{errors.read()}")
    return output, seconds, usage.ru_maxrss * 1024


def train(binary, arguments, threads):
    """One `ffzero train`: epochs (the lines of metrics.jsonl), summary, seconds and memory of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        _, seconds, memory = timed([binary, "train", *arguments, "--threads", str(threads), "--quiet", "--no-report", "--out", str(out)], threads)
        epochs = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return {"epochs": epochs, "summary": json.loads((out / "summary.json").read_text()), "seconds": seconds, "memory": memory}


def epoch_seconds(run):
    """Seconds of one epoch of all layers: of each layer the epochs after its first, which also holds what passes between layers."""
    total, previous = 0.0, None
    by_layer = {}
    for line in run["epochs"]:
        if previous is not None and previous["layer"] == line["layer"]:
            by_layer.setdefault(line["layer"], []).append(line["wall_s"] - previous["wall_s"])
        previous = line
    for times in by_layer.values():
        total += min(times)
    return total


def command_of(script):
    """The command that was typed, for baselines: files of this project as paths within it, others by their name alone."""
    project = pathlib.Path(__file__).resolve().parent.parent

    def shortened(word):
        path = pathlib.Path(word)
        if not path.is_absolute():
            return word
        return str(path.resolve().relative_to(project)) if path.resolve().is_relative_to(project) else path.name

    return shlex.join([script, *map(shortened, sys.argv[1:])])


def blas_kernel():
    """The kind of processor for which OpenBLAS chooses its kernels here, or "unknown"."""
    ask = ("import ctypes, ctypes.util; blas = ctypes.CDLL(ctypes.util.find_library('openblas')); "
           "blas.openblas_get_corename.restype = ctypes.c_char_p; print(blas.openblas_get_corename().decode())")
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=environment(1))
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    vectors = next((name for name in ("avx512f", "avx2", "sse4_1") if name in flags), "none")
    return {"processor": model, "vectors": vectors, "cores": len(os.sched_getaffinity(0)), "blas": blas_kernel(), "load_before": os.getloadavg()[0]}
