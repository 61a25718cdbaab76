"""The program ``nsq_to_ws``: flags, config file, run."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from nsqclient.errors import NsqError
from nsqclient.push.options import Options, command_line, make_bridge
from nsqclient.push.server import Bridge
from nsqcore import runner
from nsqcore.errors import StartError
from nsqcore.standard_files import ensure_standard_files


class Program:
    """The bridge as :func:`nsqcore.runner.run` wants it."""

    def __init__(self, options: Options) -> None:
        self.failed: asyncio.Event = asyncio.Event()
        self._options = options
        self._bridge: Bridge | None = None

    async def start(self) -> None:
        """Raises StartError."""
        try:
            self._bridge = make_bridge(self._options)
            await self._bridge.start()
        except (NsqError, ValueError, OSError) as e:
            raise StartError(str(e)) from e

    async def stop(self) -> None:
        """Ends in order."""
        if self._bridge is not None:
            await self._bridge.close()


def main() -> int:
    """Runs nsq_to_ws with the arguments of this process; returns its exit status."""
    ensure_standard_files()
    options = cast(Options, command_line().load(sys.argv[1:]))
    return runner.run("nsq_to_ws", lambda: Program(options))


if __name__ == "__main__":
    sys.exit(main())
