"""Runs one database server of the tests, and ends it when asked or when the test run is gone, however that ended.

    python keeper.py RUN_PID RUN_DIRECTORY STOP_SIGNAL USER COMMAND...

Prints the server's pid, then waits for whichever comes first: SIGTERM to itself, the end of the process
RUN_PID (then it removes RUN_DIRECTORY too), or the end of the server. It polls nothing: it waits on file descriptors.
"""

import os
import select
import shutil
import signal
import subprocess
import sys


def main(run_pid: int, directory: str, stop_signal: int, user: str, command: list[str]) -> None:
    """Start, wait, stop."""
    woken, wake = os.pipe()
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    run = os.pidfd_open(run_pid)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, user=user or None, start_new_session=True)
    print(server.pid, flush=True)
    os.close(1)
    poll = select.poll()
    for descriptor in (woken, run, os.pidfd_open(server.pid)):
        poll.register(descriptor, select.POLLIN)
    while not poll.poll():
        pass
    if server.poll() is None:
        server.send_signal(stop_signal)
        server.send_signal(signal.SIGCONT)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if select.select([run], [], [], 0)[0]:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:])
