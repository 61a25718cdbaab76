"""``nsqadmin``: flags, config file, run."""

from __future__ import annotations

import sys

from nsqadmin.options import COMMAND_LINE
from nsqcore.standard_files import ensure_standard_files


def main() -> int:
    """Runs nsqadmin as a process; returns its exit status."""
    ensure_standard_files()
    options = COMMAND_LINE.load(sys.argv[1:])
    # What the server needs takes a third of a second to import: not for --help, --version and wrong flags.
    from nsqadmin.daemon import NsqAdmin
    from nsqcore.runner import run

    return run("nsqadmin", lambda: NsqAdmin(options))


if __name__ == "__main__":
    sys.exit(main())
