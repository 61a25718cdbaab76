"""``python -m nsqclient.tools.to_http``: the program ``nsq_to_http``."""

import sys
from collections.abc import Callable

from nsqclient.tools.common.tool import main_of
from nsqclient.tools.to_http.tool import TOOL

main: Callable[[], int] = main_of(TOOL)

if __name__ == "__main__":
    sys.exit(main())
