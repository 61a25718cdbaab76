"""``python -m nsqadmin.access USER ROLE``: asks for a password and prints the line for ``--auth-file``."""

from __future__ import annotations

import getpass
import sys

from nsqadmin.access.accounts import BadFile, parse
from nsqadmin.access.passwords import LONGEST_PASSWORD, Hash

USAGE = """usage: python -m nsqadmin.access USER ROLE >>FILE

Prints a line for nsqadmin's --auth-file: USER:ROLE:HASH. ROLE is read or admin. The password is asked for
twice on a terminal; else it is the first line of standard input.
"""


def main(arguments: list[str]) -> int:
    """Returns the exit status: 0, or 2 with a reason on stderr."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 0 if arguments in (["-h"], ["--help"], ["-help"]) else 2
    try:
        line = f"{arguments[0]}:{arguments[1]}:{Hash.of(_password())}"
        parse(line.encode())
    except (BadFile, ValueError) as e:
        sys.stderr.write(f"{str(e).removeprefix('line 1: ')}\n")
        return 2
    sys.stdout.write(f"{line}\n")
    return 0


def _password() -> str:
    """Raises ValueError when it is no password, or not the same twice."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise ValueError("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not 8 <= len(password) <= LONGEST_PASSWORD:
        raise ValueError(f"a password has 8 to {LONGEST_PASSWORD} characters")
    return password


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
