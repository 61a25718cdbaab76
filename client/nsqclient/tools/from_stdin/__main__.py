"""The program ``to_nsq``."""

from __future__ import annotations

import sys

from nsqclient.tools.from_stdin.tool import main

if __name__ == "__main__":
    sys.exit(main())
