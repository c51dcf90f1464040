"""Devices that misbehave on purpose, for the tests: y = p0 x0 + p1 x1. Argument: the fault; without one it is a proper device.
Logs every applied parameter vector to the file in FFZERO_DEVICE_LOG, so that a test sees in which state the device was left.
SPDX-License-Identifier: MIT"""
import os
import random
import sys
import time

fault = sys.argv[1] if len(sys.argv) > 1 else ""
sys.stdout = open(1, "w", buffering=1 << 16, closefd=False)  # whatever PYTHONUNBUFFERED says
p, staged, ready, evals = [0.0, 0.0], [0.0, 0.0], False, 0
kept = []


def log():
    if "FFZERO_DEVICE_LOG" in os.environ:
        with open(os.environ["FFZERO_DEVICE_LOG"], "a") as out:
            out.write("%g %g\n" % tuple(p))


def safe():
    global ready
    if fault != "safe_does_nothing":
        p[:] = staged[:] = [0.0, 0.0]
    ready = False
    log()


def say(n, text):
    sys.stdout.write(f"{n} {text}\n")


def measure(x):
    y = p[0] * x[0] + p[1] * x[1]
    return y + (random.gauss(0, 0.1) if fault == "undeclared_noise" else 0.0)


if fault == "flood":
    sys.stderr.write("\x1b[31mnoise\x1b[0m " * 100000)
if fault == "exits":
    sys.exit("no instrument at GPIB0::7")
first_hello = True
while True:
    line = sys.stdin.readline()
    if not line:
        break
    words = line.split()
    if len(words) < 2 or words[1] == "row":
        continue
    n, verb, rest = words[0], words[1], words[2:]
    if len(line) > 255 and fault != "takes_long_lines":
        say(0, "error unsupported long")
    elif verb == "hello":
        if fault == "one_hello" and not first_hello:
            say(n, "error unsupported")
        else:
            first_hello = False
            safe()
            for text in ("proto 1", "id broken", "shape 2 1 2", "param 0 2 min -2 max 2", "time answer_ms 400 safe_ms 100 watchdog_ms 300",
                         "cap linemax 255 rows 8 get ping pipeline 2", "ok"):
                say(n, text)
    elif verb == "ready" or verb == "ping":
        ready = ready or verb == "ready"
        say(n, "ok")
    elif verb == "safe" or verb == "bye":
        safe()
        say(n, "ok")
    elif verb == "get":
        shown = [v + 0.25 for v in p] if fault == "get_lies" else p
        for v in shown[int(rest[0]):int(rest[0]) + int(rest[1])]:
            say(n, "row %.9g" % v)
        say(n, "ok")
    elif verb in ("set", "eval") and not ready and fault != "never_unready":
        say(n, "error unready")
    elif verb == "set":
        values = [float(v) for v in rest[1:]]
        if any(not abs(v) <= 2 for v in values) and fault != "takes_all":
            say(n, "error range")
        else:
            staged[int(rest[0]):int(rest[0]) + len(values)] = values
            if fault == "applies_at_once":
                p[:] = staged
            say(n, "ok")
    elif verb == "eval":
        evals += 1
        rows = []
        for _ in range(int(rest[0])):
            rows.append([float(v) for v in sys.stdin.readline().split()[2:]])
        if fault != "forgets_sets" or evals % 2:
            p[:] = staged
        log()
        if fault == "leaks" or (fault == "fills_a_cache" and evals < 1300):
            kept.append(b"x" * (1024 + evals % 2))
        if fault == "hang" and evals > 3:
            time.sleep(3600)
        if fault == "crash" and evals > 3:
            os._exit(3)
        if fault == "late":
            time.sleep(0.7)
        ys = [measure(x) for x in rows]
        if fault == "leaks_nan" and any(y != y for y in ys):
            ys = [float("nan")] * len(ys)
        if fault == "reversed":
            ys.reverse()
        if fault == "nan":
            ys = [float("nan")] * len(ys)
        if fault == "wrong_count":
            ys = ys[1:]
        if fault == "garbage":
            sys.stdout.write("\x00\x7f\x1b]0;title\x07%%% 12 row\n" * 20)
        for y in ys:
            say(n, "row one" if fault == "words" else "row %.9g" % y)
        if fault == "half_line" and evals > 3:
            sys.stdout.write(f"{n} o")
            sys.stdout.flush()
            time.sleep(3600)
        say(n, "ok")
    elif fault != "takes_any_verb":
        say(n, "error unsupported")
    else:
        say(n, "ok")
    if fault != "no_flush":
        sys.stdout.flush()
    if verb == "bye":
        break
safe()
