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
moved_at, stored = 0.0, {}
slow = fault in ("slow", "ignores_eval_0")  # has a slew limit, and refuses to be moved faster
able = fault in ("able", "counts_from_one", "ignores_address", "ignores_first_row")  # keeps inputs, has noise with addresses
SLEW = 20.0
# Where the host shall wait for nothing, it shall not wait long; nobody else may be late because the machine is busy.
ANSWER_MS = 400 if fault in ("late", "swallows", "hang", "half_line", "wrong_count") else 20000


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
    if text:
        sys.stdout.write(f"{n} {text}\n")


def measure(x, address=None):
    y = p[0] * x[0] + p[1] * x[1]
    if able:
        y += random.Random(str(address) if address and fault != "ignores_address" else None).gauss(0, 0.01)
    return y + (random.gauss(0, 0.1) if fault == "undeclared_noise" else 0.0)


if fault == "flood":
    sys.stderr.write("\x1b[31mnoise\x1b[0m " * 100000)
if fault == "exits":
    sys.exit("no instrument at GPIB0::7")
first_hello = True


def flush():
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        if fault == "dies_of_it":
            raise
        safe()
        os._exit(0)


early = []  # lines that came where rows were awaited


def next_line():
    return early.pop() if early else sys.stdin.readline()


def next_row():
    """Numbers of a row; None if something else has come."""
    line = sys.stdin.readline()
    words = line.split()
    if fault == "swallows" or words[1:2] == ["row"]:
        return [float(v) for v in words[2:]]
    early.append(line)
    return None


for line in iter(next_line, ""):
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
            stored.clear()
            for text in ("proto 1", "id broken", "shape 2 1 2", "param 0 2 min -2 max 2" + (f" slew {SLEW}" if slow else ""),
                         "output 0 1 noise 0.01" if able else "", f"time answer_ms {ANSWER_MS} safe_ms 100 watchdog_ms 300",
                         "cap linemax 255 rows 8 get ping pipeline 2" + (" store 16 address" if able else ""), "ok"):
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
        good = [abs(v) <= 2 or (fault == "takes_nan" and v != v) for v in values]
        if not all(good) and fault != "takes_all":
            if fault == "stages_part":
                for i, v in enumerate(values):
                    if good[i]:
                        staged[int(rest[0]) + i] = v
            say(n, "error range")
        else:
            staged[int(rest[0]):int(rest[0]) + len(values)] = values
            if fault == "applies_at_once":
                p[:] = staged
            say(n, "ok")
    elif verb == "load" and able:
        for i in range(int(rest[1])):
            stored[int(rest[0]) + i - (fault == "counts_from_one")] = [float(v) for v in sys.stdin.readline().split()[2:]]
        say(n, "ok")
    elif verb == "eval":
        evals += 1
        count = int(rest[0])
        at = [int(v) for v in rest[rest.index("at") + 1:]] if "at" in rest else None
        address = rest[2:7] if "addr" in rest else None
        rows = [] if at is None else [stored.get(i) for i in at]
        for _ in range(count if at is None else 0):
            rows.append(next_row())
            if rows[-1] is None:
                break
        jump = max(abs(a - b) for a, b in zip(p, staged))
        if count > 8 or None in rows or (slow and jump > SLEW * (time.monotonic() - moved_at) + 1e-5):
            if fault == "forgets_refused":
                staged[:] = p
            say(n, "error range" if at and None in rows else "error retry")
            flush()
            continue
        if (fault != "forgets_sets" or evals % 2) and (fault != "ignores_eval_0" or count):
            if p != staged:
                moved_at = time.monotonic()
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
        first = int(address[4]) if address and fault != "ignores_first_row" else 0
        ys = [measure(x, address and (address[:4], first + i)) for i, x in enumerate(rows)]
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
        flush()
    if verb == "bye":
        break
else:
    if fault == "stays":
        time.sleep(3600)
safe()
