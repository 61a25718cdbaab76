"""Keeps the topology running for whoever wants to try it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.topology import Topology


@dataclass(frozen=True)
class UpOptions:
    """What the command line of ``up`` says."""

    nsqds: int = 3
    lookupds: int = 2
    base_port: int | None = None


class Up:
    """One run of ``up``."""

    def __init__(self, options: UpOptions, folder: Path, console: Console) -> None:
        self.options, self.console = options, console
        self.topology = Topology(
            folder, nsqds=options.nsqds, lookupds=options.lookupds, base_port=options.base_port
        )

    async def run(self) -> bool:
        """Runs until it is cancelled, which is its proper end, and tells of every daemon that dies.

        Returns whether all ended properly; raises StartFailed.
        """
        died = False
        self._say(f"Starting {self.options.lookupds} nsqlookupd, {self.options.nsqds} nsqd and nsqadmin")
        try:
            async with self.topology:
                _show(self.topology, self.console)
                while True:
                    death = await self.topology.deaths.get()
                    died = True
                    self._alarm(f"{death}; the others go on")
        except asyncio.CancelledError:
            return not died and not self.topology.unclean
        finally:
            for end in self.topology.unclean:
                self._alarm(str(end))

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _alarm(self, text: str) -> None:
        self.console.print(text, style="bold red", highlight=False, markup=False, soft_wrap=True)


def _show(topology: Topology, console: Console) -> None:
    table = Table(show_header=True)
    for title in ("daemon", "HTTP", "TCP", "log"):
        table.add_column(title, no_wrap=True)
    for node in topology.nodes:
        table.add_row(
            node.name,
            topology.nsqadmin_url if node in topology.admins else f"http://{node.http}",
            node.tcp if node.tcp_port else "",
            str(node.child.log.name),
        )
    console.print(table)
    nsqd, lookupd = topology.nsqds[0], topology.lookupds[0]
    python = os.path.relpath(sys.executable)
    for line in (
        f"In a browser:  {topology.nsqadmin_url}",
        f"Publish:       curl -d 'hello' 'http://{nsqd.http}/pub?topic=greetings'",
        f"Consume:       {shlex.quote(python)} -m deploy.local.tail greetings {lookupd.http}",
        f"Logs and data: {topology.folder}",
        "Ctrl-C stops all of them.",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
