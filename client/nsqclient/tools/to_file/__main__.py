"""``python -m nsqclient.tools.to_file``: nsq_to_file."""

from __future__ import annotations

import sys
from collections.abc import Callable

from nsqclient.tools.common.tool import main_of
from nsqclient.tools.to_file.tool import TOOL

main: Callable[[], int] = main_of(TOOL)

if __name__ == "__main__":
    sys.exit(main())
