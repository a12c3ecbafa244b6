# What a terminal costs in the guest alone, to a program there: what of a shell is not pyro's.
import os
import pty
import sys
import time

WARM_UP = 50
KEYS = 200
PAUSE = 0.01


def echo():
    """Prints the microseconds, in the middle, from a key typed at a cooked terminal to its echo: in a row, and with a
    pause before each."""
    master, slave = os.openpty()
    for pause in (0, PAUSE):
        times = []
        for index in range(WARM_UP + KEYS):
            time.sleep(pause)
            begun = time.perf_counter_ns()
            os.write(master, b"x")
            os.read(master, 1)
            times.append(time.perf_counter_ns() - begun)
        print(sorted(times[WARM_UP:])[KEYS // 2] / 1000)


def output(path, expected):
    """Prints the seconds that a file takes from `cat` through a terminal, where it has so many bytes."""
    begun = time.perf_counter_ns()
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("cat", ["cat", path])
    n_bytes = 0
    try:
        while piece := os.read(master, 65536):
            n_bytes += len(piece)
    except OSError:
        pass  # `cat` has ended, and with it the terminal
    os.waitpid(pid, 0)
    seconds = (time.perf_counter_ns() - begun) / 1e9
    if n_bytes != expected:
        sys.exit(f"{n_bytes} of {expected} bytes came")
    print(seconds)


if sys.argv[1] == "echo":
    echo()
else:
    output(sys.argv[2], int(sys.argv[3]))
