#!/usr/bin/env python3
"""A bench that ffzero trains: y = tanh(x W), 49 inputs, 32 outputs, 1568 parameters. Copy it and put your instruments into `apply`, `measure`
and `make_safe`. Speaks docs/device-protocol.md in text over standard input and output. Test it: ffzero device check "exec:python3 bench.py"
Options: --inputs N --outputs N --noise SIGMA --limit MAX. SPDX-License-Identifier: MIT"""
import argparse, atexit, contextlib, math, operator, random, signal, sys

options = argparse.ArgumentParser()
for name, default in (("--inputs", 49), ("--outputs", 32), ("--noise", 0.0), ("--limit", 4.0)):
    options.add_argument(name, type=type(default), default=default)
args = options.parse_args()
count = args.inputs * args.outputs
applied = [0.0] * count

def apply(values):  # here: write to the converters, wait until everything has settled
    applied[:] = values

def measure(x):  # here: show the input, read the detectors
    sums = (sum(map(operator.mul, x, applied[k::args.outputs])) for k in range(args.outputs))
    return [math.tanh(s) + args.noise * random.gauss(0.0, 1.0) for s in sums]

def make_safe():  # here: everything to a value that harms nothing
    apply([0.0] * count)

def say(number, text):  # returns None
    sys.stdout.write(f"{number} {text}\n")

HELLO = f"""proto 1
id ffzero-bench-py
shape {args.inputs} {args.outputs} {count}
param 0 {count} min {-args.limit} max {args.limit} safe 0
output 0 {args.outputs} noise {args.noise}
time answer_ms 5000 safe_ms 500
cap linemax 65536 rows 64 get ping
ok"""
atexit.register(make_safe)  # however it ends
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ready, staged, evaluation, left, x = False, [0.0] * count, None, 0, []  # the eval whose rows are coming in, how many, and the next one
with contextlib.suppress(BrokenPipeError):  # nobody reads any more: the host was killed
    for line in sys.stdin:
        words = line.split()
        if len(words) < 2:
            continue
        n, verb, rest = words[0], words[1] if len(line) <= 65536 else "long line", words[2:]
        if evaluation and verb != "row":
            evaluation = say(evaluation, "error retry rows are missing")
        if verb == "row":
            x += [float(word) for word in rest] if n == evaluation else []  # else of an eval that was refused
            if evaluation and len(x) >= args.inputs:
                say(n, "row " + " ".join("%.9g" % v for v in measure(x)))
                left, x = left - 1, []
        elif verb in ("hello", "safe", "bye"):
            make_safe()
            ready, staged = False, [0.0] * count
            say(n, HELLO.replace("\n", f"\n{n} ") if verb == "hello" else "ok")
        elif verb == "ready" or verb == "ping":
            ready = ready or verb == "ready"
            say(n, "ok")
        elif verb == "get":
            for value in applied[int(rest[0]):int(rest[0]) + int(rest[1])]:
                say(n, "row %.9g" % value)
            say(n, "ok")
        elif verb in ("set", "eval") and not ready:
            say(n, "error unready say ready first")
        elif verb == "set":
            first, values = int(rest[0]), [float(word) for word in rest[1:]]
            bad = [first + i for i, v in enumerate(values) if first + i >= count or not abs(v) <= args.limit]
            if not bad:
                staged[first:first + len(values)] = values
            say(n, f"error range parameter {bad[0]}" if bad else "ok")
        elif verb == "eval" and len(rest) == 1 and int(rest[0]) <= 64:
            apply(staged)
            evaluation, left, x = n, int(rest[0]), []
        else:
            say(n, f"error unsupported {verb}")
        if evaluation and left == 0:
            evaluation = say(evaluation, "ok")
        sys.stdout.flush()
        if verb == "bye":
            break
sys.stdout = None  # what is left in it nobody reads
