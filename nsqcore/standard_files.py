"""Standard input, output and error of a process whose starter has closed them, as some schedulers do."""

from __future__ import annotations

import os
import sys

_STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def ensure_standard_files() -> None:
    """Opens the null device in place of those that are closed; to be called first of all by a program.

    Else the next files and sockets would get their numbers: a log line would be written into a queue's file, and
    libuv, below uvloop, aborts the process when it closes one.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_STANDARD):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate(_STANDARD):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
