"""nsq_to_file as a tool: its folders are tried, its topics found, archived, and ended in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.options import Leases
from nsqclient.discovery.targets import Lookup
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.sources import consumer_for, target_of
from nsqclient.tools.common.tool import DONE, FAILED, Tool
from nsqclient.tools.to_file.archives import Archives
from nsqclient.tools.to_file.discovering import discover
from nsqclient.tools.to_file.options import ABOUT, Options, check, check_first, choice_of, settings_of
from nsqclient.tools.to_file.topic_files import TopicArchive
from nsqcore import logs
from nsqcore.golang import go_reason
from nsqcore.logs import LogFormat, LogLevel


async def work(options: Options, running: Running) -> int:
    """Archives until it is told to end, or until a topic fails; returns the exit status. Raises Refused."""
    settings = settings_of(options)
    for flag, folder in (("output-dir", options.output_dir), ("work-dir", options.work_dir)):
        await asyncio.to_thread(_try_folder, flag, folder)
    progress = running.progress
    archives = Archives(
        partial(_consumer, options),
        lambda consumer: TopicArchive(consumer, settings, archived=progress.add),
    )
    running.on_reload(archives.reload)
    progress.show("messages archived")
    waits: list[asyncio.Task[Any]] = [
        asyncio.create_task(running.stop.wait()),
        asyncio.create_task(archives.failed.wait()),
    ]
    topics = _topics(options, archives)
    if topics is not None:
        waits.append(asyncio.create_task(topics))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await archives.stop()
        ended = await asyncio.gather(*waits, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result
    return FAILED if archives.failed.is_set() else DONE


def _topics(options: Options, archives: Archives) -> Coroutine[Any, Any, bool] | None:
    """Begins with the topics that are named; or what begins with those that there are, and will be."""
    choice = choice_of(options)
    if options.topic:
        archives.add_named(choice.of_named(options.topic))
        return None
    lookup = target_of(options).target
    assert isinstance(lookup, Lookup)  # else check refuses
    return discover(
        lookup,
        lambda found: archives.add_discovered(choice.of_discovered(found)),
        refresh=options.topic_refresh.seconds,
        connect_timeout=options.http_client_connect_timeout.seconds,
        request_timeout=options.http_client_request_timeout.seconds,
    )


def _consumer(options: Options, topic: str) -> Consumer:
    # A disk may stand still for longer than nsqd waits; and one that failed has nothing that is worth a wait.
    return consumer_for(
        options,
        topic,
        options.channel,
        program="nsq_to_file",
        max_in_flight=options.max_in_flight,
        leases=Leases(auto_touch=True),
        drain_on_error=0.0,
    )


def _try_folder(flag: str, folder: str) -> None:
    """Raises Refused for a folder that files can't be made in: at the start, not with the first message."""
    if not folder:
        return
    try:
        Path(folder).mkdir(mode=0o770, parents=True, exist_ok=True)
    except OSError as e:
        raise Refused(f"--{flag} {folder}: {go_reason(e)}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"--{flag} {folder}: can't write there")


def _log(options: Options) -> None:
    logs.configure(options.log_prefix, LogLevel(options.log_level), LogFormat("text"))


TOOL = Tool(
    name="nsq_to_file",
    command="to-file",
    summary="archive topics in files, plain or compressed",
    about=ABOUT,
    options=Options,
    check=check,
    check_first=check_first,
    work=work,
    words="words",
    log=_log,
)
