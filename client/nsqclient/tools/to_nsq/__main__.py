"""``python -m nsqclient.tools.to_nsq``: the program ``nsq_to_nsq``."""

from __future__ import annotations

import sys

from nsqclient.tools.to_nsq.tool import main

if __name__ == "__main__":
    sys.exit(main())
