"""Devices that misbehave on purpose, for the tests: y = p0 x0 + p1 x1. Argument: the fault; without one it is a proper device.
Logs every applied parameter vector to the file in FFZERO_DEVICE_LOG, so that a test sees in which state the device was left.
SPDX-License-Identifier: MIT"""
import binascii
import os
import random
import re
import select
import signal
import struct
import sys
import time
import zlib

fault = sys.argv[1] if len(sys.argv) > 1 else ""
sys.stdout = open(1, "w", buffering=1 << 16, closefd=False)  # whatever PYTHONUNBUFFERED says
p, staged, ready, evals = [0.0, 0.0], [0.0, 0.0], False, 0
kept, asked, hellos = [], None, 0
moved_at, stored = 0.0, {}
slow = fault in ("slow", "ignores_eval_0")  # has a slew limit, and refuses to be moved faster
# Speaks binary, with checksums, and has a declared range of inputs.
full = fault in ("full", "any_checksum", "half_checksum", "no_checksum", "hello_checksum", "row_goes_on", "payload_unchecked",
                  "payload_in_idle", "payload_beyond", "any_input", "input_forgets")
# Keeps inputs, has noise with addresses.
able = full or fault in ("able", "counts_from_one", "ignores_address", "ignores_first_row", "one_retry", "same_noise", "low_bits",
                         "hello_keeps_inputs", "safe_forgets_inputs", "no_load_in_idle", "store_wraps")
SLEW = 20.0
# Where the host shall wait for nothing, it shall not wait long; nobody else may be late because the machine is busy.
ANSWER_MS = {"late": 400, "swallows": 400, "hang": 400, "half_line": 400, "wrong_count": 400, "row_goes_on": 2000, "safe_silent": 2000}.get(fault, 20000)
SET_MS = 200 if fault == "dies_settling" else 0
WATCHDOG_MS = 1000 if fault == "reads_at_safe" else 300
ROWS = 8
checksums = False


def log():
    if "FFZERO_DEVICE_LOG" in os.environ:
        with open(os.environ["FFZERO_DEVICE_LOG"], "a") as out:
            out.write("%g %g\n" % tuple(p))


def safe():
    global ready
    if fault == "safe_keeps_staged":
        p[:] = [0.0, 0.0]
    elif fault != "safe_does_nothing":
        p[:] = staged[:] = [0.0, 0.0]
    ready = False
    log()


def crc16(text):
    return binascii.crc_hqx(text.encode("latin-1"), 0xFFFF)


def say(n, text):
    if text:
        line = f"{n} {text}"
        sys.stdout.write(line + (" *%04X" % crc16(line) if checksums else "") + "\n")


def say_floats(n, values):
    raw = struct.pack(f"<{len(values)}f", *values)
    say(n, f"data {len(raw)} f32le")
    sys.stdout.flush()
    sys.stdout.buffer.write(raw + (struct.pack("<I", zlib.crc32(raw)) if checksums else b""))


def measure(x, address=None):
    y = p[0] * x[0] + p[1] * x[1]
    if able:
        without = 1 if fault == "same_noise" else None
        y += random.Random(str(address) if address and fault != "ignores_address" else without).gauss(0, 0.01)
    return y + (random.gauss(0, 0.1) if fault == "undeclared_noise" else 0.0)


if fault == "flood":
    sys.stderr.write("\x1b[31mnoise\x1b[0m " * 100000)
if fault == "exits":
    sys.exit("no instrument at GPIB0::7")
if fault == "ends_on_term":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if fault == "reads_at_safe":  # has the watchdog that it declares, but forgets the eval whose rows are missing
    signal.signal(signal.SIGALRM, lambda *_: safe())
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
    if fault == "reads_at_safe":
        signal.setitimer(signal.ITIMER_REAL, WATCHDOG_MS / 1000)
    return early.pop() if early else sys.stdin.buffer.readline().decode("latin-1")


def checked(line):
    """The line without its checksum, and whether that is right."""
    line = line.rstrip("\r\n")
    found = re.search(r" \*([0-9A-Fa-f]{4})$", line)
    if not checksums or not found:
        return line, not checksums or fault == "no_checksum"
    difference = int(found[1], 16) ^ crc16(line[: found.start()])
    taken = fault == "any_checksum" or (fault == "half_checksum" and difference & 0xFF == 0)
    return line[: found.start()], taken or difference == 0


def next_row():
    """Numbers of a row; None if something else has come, "damaged" if that cannot be told."""
    line = next_line()
    text, good = checked(line)
    words = text.split()
    if not good:
        return "damaged"
    if fault == "swallows" or words[1:2] == ["row"]:
        return [float(v) for v in words[2:]]
    early.append(line)
    return None


def next_floats(count):
    """Of a payload; None if it is damaged."""
    raw = sys.stdin.buffer.read(4 * count)
    if checksums and sys.stdin.buffer.read(4) != struct.pack("<I", zlib.crc32(raw)) and fault != "payload_unchecked":
        return None
    return list(struct.unpack(f"<{count}f", raw))


def take_rows(n, count, binary):
    """The inputs of an eval or load; None, and answered, if they are not good."""
    if binary:
        values = next_floats(2 * count)
        if values is None:
            say(n, "error retry crc")
        return values and [values[2 * i : 2 * i + 2] for i in range(count)]
    rows = []
    while len(rows) < count:
        row = next_row()
        if row == "damaged":
            say(0 if fault == "row_goes_on" else n, "error retry crc")
            if fault == "row_goes_on":
                continue
            return None
        if row is None:
            if fault == "dies_between_rows" and not early[-1]:
                os._exit(3)
            if fault != "safe_silent" or " safe" not in early[-1]:
                say(n, "error retry rows are missing")
            return None
        rows.append(row)
    return rows


for line in iter(next_line, ""):
    text, good = checked(line)
    words = text.split()
    if len(words) < 2 or words[1] == "row":
        continue
    n, verb, rest = words[0], words[1], words[2:]
    binary = full and "f32le" in rest
    if len(line) > (254 if fault == "short_linemax" else 255) and fault != "takes_long_lines":
        say(0, "error unsupported long")
    elif line.endswith("\r\n") and fault == "no_return":
        say(n, "error retry")
    elif not good and verb != "hello":
        say(n if n.isdigit() else 0, "error retry crc")
    elif verb == "hello":
        if fault == "one_hello" and not first_hello:
            say(n, "error unsupported")
        else:
            first_hello = False
            hellos += 1  # two in the first process of a check
            if fault != "hello_goes_on" or not ready:
                safe()
            if fault != "hello_keeps_inputs":
                stored.clear()
            checksums = checksums and fault == "hello_checksum"
            output = "output 0 1 noise 0.01" if able else "output 0 1 min -0.001 max 0.001" if fault == "outside_output" else ""
            for text in ("proto 1", "id broken", "shape 2 1 2", "param 0 2 min -2 max 2" + (f" slew {SLEW}" if slow else ""),
                         "input 0 2 min -3 max 3" if full else "", output,
                         f"time set_ms {SET_MS} answer_ms {ANSWER_MS} safe_ms 100 watchdog_ms {WATCHDOG_MS}",
                         f"cap linemax 255 rows {ROWS} get ping pipeline 2" + (" store 16 address" if able else "") +
                         (" crc f32le" if full else ""), "ok"):
                say(n, text)
            checksums = full
    elif verb == "ready" or verb == "ping":
        if fault == "ready_once" and ready and verb == "ready":
            say(n, "error unready")
        elif fault == "never_ready" and verb == "ready":
            say(n, "error fatal the laser is dead")
        else:
            ready = ready or verb == "ready"
            if fault == "ping_forgets" and verb == "ping":
                staged[:] = p
            say(n, "ok")
    elif verb == "safe" or verb == "bye":
        safe()
        if fault == "safe_forgets_inputs":
            stored.clear()
        if fault != "bye_unanswered" or verb == "safe":
            say(n, "ok")
    elif verb == "get":
        shown = [v + 0.25 for v in p] if fault == "get_lies" else p
        for v in shown[int(rest[0]):int(rest[0]) + int(rest[1])]:
            say(n, "row %.9g" % v)
        say(n, "ok")
    elif verb in ("set", "eval") and not ready and fault != "never_unready":
        if binary and fault != "payload_in_idle":
            next_floats(int(rest[1]) if verb == "set" else 2 * int(rest[0]))
        say(n, "error unready")
    elif verb == "set":
        if binary and int(rest[0]) >= 2 and fault == "payload_beyond":
            say(n, "error range")
            flush()
            continue
        values = next_floats(int(rest[1])) if binary else [float(v) for v in rest[1:]]
        good = [abs(v) < 2 or (abs(v) == 2 and fault != "open_range") or (fault == "takes_nan" and v != v) for v in values or []]
        if values is None:
            say(n, "error retry crc")
        elif int(rest[0]) + len(values) > 2:
            say(n, "error range")
        elif not all(good) and fault != "takes_all":
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
    elif verb == "load" and able and (ready or fault != "no_load_in_idle"):
        rows = take_rows(n, int(rest[1]), binary)
        if rows is not None:
            for i, row in enumerate(rows):
                place = int(rest[0]) + i
                stored[place % 8 if fault == "store_wraps" else place - (fault == "counts_from_one")] = row
            say(n, "ok")
    elif verb == "eval":
        evals += 1
        count = int(rest[0])
        at = [int(v) for v in rest[rest.index("at") + 1:]] if "at" in rest else None
        address = rest[2:7] if "addr" in rest else None
        if fault == "low_bits" and address:
            address = [int(v) & 0xFFFFFFFF for v in address]
        rows = [stored.get(i % 8 if fault == "store_wraps" else i) for i in at] if at is not None else take_rows(n, count, binary)
        refusal = ""
        jump = max(abs(a - b) for a, b in zip(p, staged))
        if rows is None:
            refusal = "answered"
        elif None in rows or (full and fault != "any_input" and any(abs(v) > 3 for row in rows for v in row)):
            refusal = "error range"
        elif fault == "nan_forgets" and any(v != v for row in rows for v in row):
            refusal = "error range"
        elif count > (ROWS - 1 if fault == "fewer_rows" else ROWS) and fault != "takes_more_rows":
            refusal = "error unsupported"
        elif (slow and jump > SLEW * (time.monotonic() - moved_at) + 1e-5) or (fault == "one_retry" and hellos == 2 and evals == 20):
            refusal = "error retry"
        if refusal:
            forgets = {"forgets_refused": True, "cut_forgets": rows is None, "input_forgets": refusal == "error range",
                       "nan_forgets": refusal == "error range"}
            if forgets.get(fault):
                staged[:] = p
            if refusal != "answered":
                say(n, refusal)
            flush()
            continue
        if fault == "hysteresis" and staged != asked:  # where it was before shows
            asked = list(staged)
            p[:] = [new + 0.1 * old for new, old in zip(staged, p)]
        elif fault != "hysteresis" and (fault != "ignores_eval_0" or count):
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
        if fault == "dies_settling" and evals == 2:
            poll = select.poll()
            poll.register(0, 0)
            # Gone before it began is no matter.
            if not poll.poll(0) and poll.poll(SET_MS):
                os._exit(3)
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
        if binary:
            say_floats(n, ys)
        for y in ys if not binary else []:
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
    if fault in ("stays", "ends_on_term"):
        time.sleep(3600)
safe()
