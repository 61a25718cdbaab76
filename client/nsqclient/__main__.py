"""``python -m nsqclient``: runs apps, publishes, watches topics, works through dead letters, checks nodes."""

from __future__ import annotations

import sys

from nsqclient.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
