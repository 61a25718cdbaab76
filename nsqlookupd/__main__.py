"""The program: flags, config file, run."""

from __future__ import annotations

import sys
from typing import cast

from nsqcore import runner
from nsqcore.standard_files import ensure_standard_files
from nsqlookupd.daemon import NsqLookupd
from nsqlookupd.options import Options, command_line


def main() -> int:
    """Runs nsqlookupd with the arguments of this process; returns its exit status."""
    ensure_standard_files()
    options = cast(Options, command_line().load(sys.argv[1:]))
    return runner.run("nsqlookupd", lambda: NsqLookupd(options))


if __name__ == "__main__":
    sys.exit(main())
