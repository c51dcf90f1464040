#!/usr/bin/env python3
"""What a call of a Python device costs besides the callable, and how soon Ctrl-C ends a training.

  PYTHONPATH=build/release/python /usr/bin/python3 bench/python/calls.py [--parameters 1568] [--calls 20000] [--repeats 9] [--json FILE]

Two rows, each the median over repetitions, in microseconds of processor time of the whole process for each call of the device:
  direct    device(theta, x) from Python, less the callable by itself
  training  a training with two evaluations a step (directional, one direction), less the callable: what the library draws, computes and
            bills for a step is in it, so this is more than the binding
Then, in milliseconds, the time from SIGINT to the return of a training whose callable takes 1 ms: the step's other calls are in it.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import os
import signal
import statistics
import threading
import time

import numpy as np

import ffzero

ROWS, INPUTS, OUTPUTS = 16, 49, 32  # of a step


def processor_us(work, calls):
    before = time.process_time_ns()
    work()
    return (time.process_time_ns() - before) / 1000.0 / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=INPUTS * OUTPUTS)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json")
    a = parser.parse_args()

    answer = np.random.default_rng(0).normal(size=(4 * ROWS, OUTPUTS)).astype(np.float32)
    calls = 0

    def bench(theta, x):
        nonlocal calls
        calls += 1
        return answer[: len(x)]

    device = ffzero.device(bench, inputs=INPUTS, outputs=OUTPUTS, parameters=a.parameters)
    theta = np.zeros(a.parameters, np.float32)
    x = np.random.default_rng(1).normal(size=(ROWS, INPUTS)).astype(np.float32)
    X = np.repeat(x, 4, axis=0)
    y = np.arange(len(X)) % 2
    steps = a.calls // 2
    settings = {"gradient.directions": 1, "training.batch_size": ROWS, "device.steadiness": 0, "training.save_every_s": 1e6}

    def train():
        ffzero.Classifier(devices=[device], config=settings, epochs=steps * ROWS // len(X), random_state=0, threads=1).fit(X, y)

    def alone():
        for _ in range(a.calls):
            bench(theta, x)

    def direct():
        for _ in range(a.calls):
            device(theta, x)

    rows = {"direct": [], "training": []}
    for _ in range(a.repeats):  # interleaved
        callable_us = processor_us(alone, a.calls)
        rows["direct"].append(processor_us(direct, a.calls) - callable_us)
        calls = 0
        before = time.process_time_ns()
        train()
        rows["training"].append((time.process_time_ns() - before) / 1000.0 / calls - callable_us)

    waits = []

    def slow(theta, x):
        time.sleep(0.001)
        return answer[: len(x)]

    bench_slow = ffzero.device(slow, inputs=INPUTS, outputs=OUTPUTS, parameters=a.parameters)
    for _ in range(a.repeats):
        sent = []

        def interrupt():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Timer(0.2, interrupt).start()
        try:
            ffzero.Classifier(devices=[bench_slow], config=settings, epochs=1000000, random_state=0, threads=1).fit(X, y)
        except KeyboardInterrupt:
            waits.append(1000.0 * (time.monotonic() - sent[0]))

    result = {"parameters": a.parameters, "calls": a.calls, "us_a_call": {k: statistics.median(v) for k, v in rows.items()},
              "ms_to_interrupt": {"median": statistics.median(waits), "highest": max(waits)}, "all": rows}
    for name, value in result["us_a_call"].items():
        print(f"{name:10} {value:8.2f} us of processor time a call besides the callable ({min(rows[name]):.2f} .. {max(rows[name]):.2f})")
    print(f"interrupt  {result['ms_to_interrupt']['median']:8.1f} ms, at most {result['ms_to_interrupt']['highest']:.1f} ms")
    if a.json:
        with open(a.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
