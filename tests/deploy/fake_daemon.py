"""A process that logs as the daemons do and ends as its one argument says."""

from __future__ import annotations

import os
import signal
import sys
import time


def main(how: str) -> None:
    if how == "refuses":
        sys.stderr.write("[fake] FATAL: no such thing\n")
        sys.exit(1)
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif how == "unhappy":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    elif how != "unready":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if how != "unready":
        sys.stderr.write("[fake] INFO: TCP: listening on 127.0.0.1:4150\n")
        sys.stderr.write("[fake] INFO: HTTP: listening on 127.0.0.1:4151\n")
        sys.stderr.flush()
    sys.stdout.write(f"pid {os.getpid()}\n")
    sys.stdout.flush()
    if how == "crashes":
        sys.exit(4)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
