"""Publishes batches to one nsqd over HTTP, trying again for as long as it takes the node to come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp

from deploy.local.ledger import Ledger
from deploy.local.records import Batch
from nsqcore.http_client import HttpFailure, JsonClient

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds between attempts: doubled each time


class PublishFailed(Exception):
    """A batch was refused for good, or its node did not come back in time."""


@dataclass
class Resends:
    """What had to be sent more than once."""

    attempts: int = 0
    """Requests that failed and were repeated."""
    not_sent: int = 0
    """Of these, the ones that nsqd can't have seen: nobody accepted the connection."""
    in_doubt: int = 0
    """Records whose outcome stayed unknown, so that sending them again may have doubled them."""


class Publisher:
    """Takes the next batch whenever nsqd has confirmed the one before.

    Several publishers share one iterator of batches, so a batch goes to whoever is free: in turn while all
    nodes are up, and a node that is down keeps only the one batch that its publisher holds on to.
    """

    def __init__(
        self,
        url: str,
        client: JsonClient,
        batches: Iterator[Batch],
        published: Ledger,
        *,
        patience: float,
        confirmed: Callable[[], None],
    ) -> None:
        """``url`` takes the POSTs; ``published`` gets what was confirmed, and ``confirmed`` is then called.

        ``patience`` is for how many seconds one batch is tried again.
        """
        self.url, self.resends = url, Resends()
        self._client, self._batches, self._published = client, batches, published
        self._patience, self._confirmed = patience, confirmed

    async def run(self) -> None:
        """Returns when there are no batches left; raises PublishFailed."""
        for batch in self._batches:
            await self._publish(batch)
            for file, line in batch.keys:
                self._published.add(file, line)
            self._confirmed()

    async def _publish(self, batch: Batch) -> None:
        deadline = time.monotonic() + self._patience
        wait = _FIRST_WAIT
        in_doubt = False
        while True:
            try:
                await self._client.post(self.url, batch.body)
                break
            except HttpFailure as e:
                # 503 is what nsqd says while it exits; part of the batch may have been taken by then.
                if e.status not in (0, 503):
                    raise PublishFailed(str(e)) from e
                if time.monotonic() > deadline:
                    raise PublishFailed(f"{e} (tried for {self._patience:g} s)") from e
                self.resends.attempts += 1
                if isinstance(e.__cause__, aiohttp.ClientConnectorError):
                    self.resends.not_sent += 1
                else:
                    in_doubt = True
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        if in_doubt:
            self.resends.in_doubt += len(batch.keys)
