"""Handlers may have their topic and channel made before anybody publishes."""

from __future__ import annotations

from pathlib import Path

from nsqclient import App, Lookup
from nsqclient.http import Nsqd
from tests.support.processes import spawn

FREE = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


async def test_topic_and_channel_are_there_when_the_app_has_started(tmp_path: Path) -> None:
    with spawn("nsqlookupd", *FREE) as lookupd:
        registered = f"--lookupd-tcp-address={lookupd.tcp}"
        with spawn("nsqd", *FREE, registered, f"--data-path={tmp_path}") as nsqd:
            lookupd.wait_for_log("IDENTIFY")
            app = App(Lookup(f"http://{lookupd.http}"))

            @app.on("t", channel="c", create=True)
            async def handle(body: bytes) -> None: ...

            @app.on("u", channel="c")
            async def wait(body: bytes) -> None: ...

            async with app, Nsqd(f"http://{nsqd.http}") as http:
                stats = await http.stats()
                made = {topic.topic_name: [c.channel_name for c in topic.channels] for topic in stats.topics}
            assert made == {"t": ["c"]}
