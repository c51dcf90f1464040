"""A device that fails now and then: y = p0 x0 + p1 x1 + noise that never repeats. Arguments: LOG SEED RATE; a share RATE of the evaluations
goes wrong in a way that SEED and the length of LOG decide. The instrument behind it is a process of its own that logs every parameter
vector, and goes to its safe state when this program is gone, however it went. SPDX-License-Identifier: MIT"""
import os
import random
import select
import sys
import time

log, seed, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
SAFE = "0 0"
FAULTS = ("hang", "crash", "disconnect", "garbage", "nan", "cut_line", "slow", "refuse", "wrong_count")


def instrument(orders):
    """Applies what it is told until nobody tells it anything any more."""
    def apply(line):
        with open(log, "a") as out:
            out.write(line + "\n")
    for line in orders:
        apply(line.strip())
    apply(SAFE)


read_end, write_end = os.pipe()
if os.fork() == 0:
    os.close(write_end)
    os.setsid()  # a kill of the program's group does not reach it
    for stream in (0, 1, 2):
        os.close(stream)
    instrument(os.fdopen(read_end))
    os._exit(0)
os.close(read_end)
orders = os.fdopen(write_end, "w", buffering=1)
draw = random.Random(f"{seed} {os.path.getsize(log) if os.path.exists(log) else 0}")
p, staged, ready = [0.0, 0.0], [0.0, 0.0], False


def say(text):
    sys.stdout.write(text + "\n")


def safe():
    global ready
    p[:] = staged[:] = [0.0, 0.0]
    ready = False
    orders.write(SAFE + "\n")


def hang():
    """No answer, but the end of the stream is noticed."""
    poll = select.poll()
    poll.register(0, select.POLLHUP)
    while not any(event & select.POLLHUP for _, event in poll.poll(50)):
        time.sleep(0.01)
    os._exit(1)


for line in iter(sys.stdin.readline, ""):
    words = line.split()
    if len(words) < 2 or words[1] == "row":
        continue
    n, verb, rest = words[0], words[1], words[2:]
    if verb == "hello":
        safe()
        for text in ("proto 1", "id moody", "shape 2 1 2", "param 0 2 min -2 max 2", "time answer_ms 1000 safe_ms 100",
                     "cap linemax 255 rows 8 ping pipeline 2", "ok"):
            say(f"{n} {text}")
    elif verb in ("ready", "ping"):
        ready = ready or verb == "ready"
        say(f"{n} ok")
    elif verb in ("safe", "bye"):
        safe()
        say(f"{n} ok")
    elif verb == "set" and ready:
        staged[int(rest[0]):int(rest[0]) + len(rest) - 1] = [float(v) for v in rest[1:]]
        say(f"{n} ok")
    elif verb == "eval" and ready:
        rows = [[float(v) for v in sys.stdin.readline().split()[2:]] for _ in range(int(rest[0]))]
        p[:] = staged
        orders.write("%g %g\n" % tuple(p))
        fault = draw.choice(FAULTS) if draw.random() < rate else ""
        ys = [p[0] * x[0] + p[1] * x[1] + random.gauss(0, 0.01) for x in rows if len(x) == 2]
        if fault == "hang":
            hang()
        elif fault == "crash":
            os._exit(3)
        elif fault == "disconnect":
            break
        elif fault == "slow":
            time.sleep(1.4)
        elif fault == "refuse":
            say(f"{n} error retry laser unlocked")
            sys.stdout.flush()
            continue
        elif fault == "garbage":
            sys.stdout.write("\x00\x7f%%% 12 row\n" * 20)
        elif fault == "wrong_count":
            ys = ys[1:]
        for i, y in enumerate(ys):
            say(f"{n} row nan" if fault == "nan" and i % 3 == 0 else "%s row %.9g" % (n, y))
            if fault == "cut_line":
                sys.stdout.write(f"{n} ro")
                sys.stdout.flush()
                os._exit(4)
        say(f"{n} ok")
    else:
        say(f"{n} error " + ("unready" if verb in ("set", "eval") else "unsupported"))
    sys.stdout.flush()
    if verb == "bye":
        break
safe()
