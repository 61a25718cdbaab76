"""``python -m nsqclient``: the ``nsq`` command."""

from __future__ import annotations

import sys

from nsqclient.cli.command_line import program

if __name__ == "__main__":
    sys.exit(program())
