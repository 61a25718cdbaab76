"""The end of a demo: its table, and whether all is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.ledger import Account
from deploy.local.publisher import Resends

_SHOWN = 3  # of a list that may be long


@dataclass(frozen=True)
class Channel:
    """One row of the table."""

    account: Account
    seconds: float
    """From its first to its last delivery."""


@dataclass(frozen=True)
class Outcome:
    """All that came out of a demo."""

    channels: Sequence[Channel]
    publishing_s: float
    resends: Sequence[Resends]
    left_out: Sequence[str]
    failures: Sequence[str]
    """What ended the demo early, and the processes that did not end properly."""
    strange: int
    shares: Sequence[int]
    """Messages that each consumer of index got."""
    archive: Path

    @property
    def succeeded(self) -> bool:
        """Nothing missing on any channel, and nothing else failed."""
        return not self.failures and not any(channel.account.missing for channel in self.channels)

    def show(self, console: Console) -> None:
        """Prints the table, and remarks below it."""
        table = Table(title="Every record counted by (file, line)", title_justify="left")
        table.add_column("channel")
        for title in ("published", "delivered", "duplicates", "missing", "messages/s"):
            table.add_column(title, justify="right")
        for channel in self.channels:
            account = channel.account
            numbers = account.published, account.delivered, account.duplicates, account.missing
            rate = _rate(account.delivered, channel.seconds)
            table.add_row(account.channel, *(f"{number:,}" for number in numbers), rate)
        console.print(table)
        for line in self._remarks():
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _remarks(self) -> list[str]:
        published = self.channels[0].account.published
        repeated = sum(resends.attempts for resends in self.resends)
        in_doubt = sum(resends.in_doubt for resends in self.resends)
        lines = [
            f"Published in {self.publishing_s:.1f} s: {_rate(published, self.publishing_s)} messages/s.",
            f"Failed requests repeated: {repeated}; records sent again in doubt: {in_doubt:,}.",
            f"index was shared as {' + '.join(f'{share:,}' for share in self.shares)}.",
            f"archive was written to {self.archive}",
        ]
        lines += _some("Not published", self.left_out)
        if self.strange:
            lines.append(f"{self.strange:,} messages were no records: who else publishes to this topic?")
        for channel in self.channels:
            account = channel.account
            if account.unexpected:
                lines.append(f"{account.channel}: {account.unexpected:,} records that were never published")
            if account.missing:
                where = ", ".join(f"{file}:{line}" for file, line in account.examples)
                lines.append(f"MISSING on {account.channel}: {account.missing:,} records, such as {where}")
        lines += [f"FAILED: {reason}" for reason in self.failures]
        if self.succeeded:
            lines.append("Nothing is missing on either channel.")
        return lines


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if seconds > 0 else "-"


def _some(what: str, reasons: Sequence[str]) -> list[str]:
    lines = [f"{what}: {reason}" for reason in reasons[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"{what}: {len(reasons) - _SHOWN:,} more")
    return lines
