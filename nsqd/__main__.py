"""The program: flags, config file, run."""

from __future__ import annotations

import sys
from typing import cast

from nsqcore import runner
from nsqcore.standard_files import ensure_standard_files
from nsqd.daemon import Nsqd
from nsqd.options import Options, command_line


def main() -> int:
    """Runs nsqd with the arguments of this process; returns its exit status."""
    ensure_standard_files()
    options = cast(Options, command_line().load(sys.argv[1:]))
    return runner.run("nsqd", lambda: Nsqd(options))


if __name__ == "__main__":
    sys.exit(main())
