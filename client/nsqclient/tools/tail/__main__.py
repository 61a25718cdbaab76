"""The program ``nsq_tail``."""

from __future__ import annotations

import sys

from nsqclient.tools.tail.tool import main

if __name__ == "__main__":
    sys.exit(main())
