"""nsq_to_file as a process, flag by flag, with real daemons."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.nsqclient.tools.to_file.conftest import Place
from tests.support.tools import run_tool
from tests.system.waiting import until

HOST = socket.gethostname().partition(".")[0]


def test_messages_are_lines_of_a_file_with_the_original_s_name(place: Place) -> None:
    """As without any flag but those that say from where and to where."""
    place.publish(b"one", b"two")
    before = time.strftime("%Y-%m-%d_%H")
    with place.archiving():
        place.finished(2)
        after = time.strftime("%Y-%m-%d_%H")
    names = {f"{place.topic}.{HOST}.{hour}.log" for hour in (before, after)}
    assert set(place.files()) <= names
    assert place.lines() == [b"one", b"two"]


def test_several_topics_have_a_file_each(place: Place) -> None:
    other = f"{place.topic}-other"
    place.publish(b"a")
    place.publish(b"b", topic=other)
    with place.archiving(f"--topic={other}", "--filename-format=<TOPIC>.log"):
        place.finished(1)
        place.finished(1, topic=other)
    assert place.files() == {f"{place.topic}.log": b"a\n", f"{other}.log": b"b\n"}


def test_topics_are_found_at_once_by_their_pattern(place: Place) -> None:
    other = f"other-{place.topic}"
    place.publish(b"a")
    place.publish(b"b", topic=other)
    flags = [
        f"--lookupd-http-address={place.lookupd.http}",
        f"--topic-pattern=^{place.topic}$",
        "--log-level=debug",
        "--topic-refresh=50ms",
    ]
    with place.archiving(*flags, named=False) as tool:
        place.finished(1)
        tool.wait_for_err(f"DEBUG: skipping topic {other} (doesn't match pattern ^{place.topic}$)")
    assert place.lines() == [b"a"]
    assert tool.err.count(f"skipping topic {other} ") == 1


def test_topics_that_appear_later_are_found_after_a_period(place: Place) -> None:
    flags = [
        f"--lookupd-http-address={place.lookupd.http}",
        f"--topic-pattern={place.topic}",
        "--topic-refresh=50ms",
    ]
    place.publish(b"a")
    with place.archiving(*flags, named=False):
        place.finished(1)
        place.publish(b"b", topic=f"{place.topic}-later")
        place.finished(1, topic=f"{place.topic}-later")
    assert sorted(place.lines()) == [b"a", b"b"]


def test_a_named_topic_that_does_not_match_the_pattern_is_skipped(place: Place) -> None:
    place.publish(b"a")
    with place.archiving("--topic=other", f"--topic-pattern={place.topic}") as tool:
        place.finished(1)
    assert f"WARNING: skipping topic other (doesn't match pattern {place.topic})" in tool.err


def test_a_nsqlookupd_that_is_silent_or_gone_hides_no_topic(place: Place) -> None:
    place.publish(b"a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = [
            "--lookupd-http-address=127.0.0.1:1",
            f"--lookupd-http-address=127.0.0.1:{silent.getsockname()[1]}",
            f"--lookupd-http-address={place.lookupd.http}",
            f"--topic-pattern={place.topic}",
            "--http-client-request-timeout=300ms",
            "--http-client-connect-timeout=200ms",
        ]
        with place.archiving(*flags, named=False) as tool:
            place.finished(1)
        assert tool.err.count("ERROR: could not retrieve topic list: ") == 2


def test_the_channel_and_the_messages_in_flight_are_as_asked(place: Place) -> None:
    with place.archiving("--channel=c", "--max-in-flight=7"):
        until(lambda: (place.channel("c").get("clients") or [{}])[0].get("ready_count") == 7)


def test_client_options_and_the_user_agent_reach_nsqd(place: Place) -> None:
    flags = ["--consumer-opt=client_id,archivist", "--consumer-opt=user-agent,other", "--consumer-opt=snappy"]
    with place.archiving(*flags):
        place.subscribed()
        (client,) = place.channel()["clients"]
        assert (client["client_id"], client["snappy"]) == ("archivist", True)
        assert re.fullmatch(r"nsq_to_file/1\.3\.0 nsqclient/\S+", client["user_agent"])


def test_files_are_compressed_better_at_a_higher_level(place: Place) -> None:
    bodies = [b"%d some words that come again %d" % (n * 7919, n % 13) for n in range(3000)]
    sizes = []
    for level in (1, 9):
        topic = f"{place.topic}-{level}"
        place.publish(*bodies, topic=topic)
        flags = ["--gzip", f"--gzip-level={level}", "--max-in-flight=2500", "--filename-format=<TOPIC><REV>"]
        with place.archiving(*flags, topic=topic):
            place.finished(len(bodies), topic=topic)
        name = f"{topic}-000000.gz"
        assert place.files()[name].splitlines() == bodies
        sizes.append((place.output / name).stat().st_size)
    assert sizes[1] < sizes[0] < sum(map(len, bodies)) / 2


def test_names_are_made_of_what_they_are_to_hold(place: Place) -> None:
    place.publish(b"a")
    flags = [
        "--filename-format=<TOPIC>/<HOST>/<PID>-<DATETIME>.txt",
        "--host-identifier=<SHORT_HOST>_x_<HOSTNAME>",
        "--datetime-format=%Y %% %j Jan",
    ]
    years = {time.strftime("%Y")}
    with place.archiving(*flags) as tool:
        place.finished(1)
    years.add(time.strftime("%Y"))
    host = f"{HOST}_x_{socket.gethostname()}"
    assert set(place.files()) <= {f"{place.topic}/{host}/{tool.pid}-{y} % %j Jan.txt" for y in years}
    assert place.lines() == [b"a"]


def test_files_are_written_in_the_work_folder_and_moved_when_complete(place: Place) -> None:
    with place.archiving(f"--work-dir={place.work}", "--filename-format=<TOPIC>/x<REV>") as tool:
        place.publish(b"a")
        place.finished(1)
        name = f"{place.topic}/x-000000"
        assert place.files(place.work) == {name: b"a\n"}
        assert place.files() == {}
        tool.signal(signal.SIGHUP)
        until(lambda: place.files() == {name: b"a\n"})
        place.publish(b"b")
        place.finished(2)
    assert place.files(place.work) == {}
    assert place.lines() == [b"a", b"b"]
    assert f"INFO: [{place.topic}/nsq_to_file] moving finished file " in tool.err


def test_an_empty_file_is_opened_unless_it_is_not_wanted(place: Place) -> None:
    with place.archiving("--filename-format=<TOPIC>.log"):
        until(lambda: place.files() == {f"{place.topic}.log": b""})
    (place.output / f"{place.topic}.log").unlink()
    with place.archiving("--filename-format=<TOPIC>.log", "--skip-empty-files") as tool:
        place.subscribed()
        time.sleep(0.2)  # for several ticks that do nothing
        assert place.files() == {}
        place.publish(b"a")
        place.finished(1)
    assert place.files() == {f"{place.topic}.log": b"a\n"}
    assert tool.err.count("] opening ") == 1


def test_a_file_ends_with_the_message_that_makes_it_too_large(place: Place) -> None:
    bodies = [b"12345678"] * 10
    place.publish(*bodies)
    with place.archiving("--rotate-size=20", "--filename-format=<TOPIC><REV>") as tool:
        place.finished(len(bodies))
    assert {len(data) for data in list(place.files().values())[:3]} == {27}
    assert place.lines() == bodies
    assert re.search(
        rf"INFO: \[{place.topic}/nsq_to_file\] \S+ currently 27 bytes \(> 20\), rotating...", tool.err
    )


def test_a_file_ends_when_it_is_old_enough(place: Place) -> None:
    with place.archiving("--rotate-interval=100ms", "--filename-format=<TOPIC><REV>") as tool:
        for body in (b"a", b"b"):
            place.publish(body)
            tool.wait_for_err("since last open, rotating...", times=1 if body == b"a" else 4)
        place.finished(2)
    assert len(place.files()) > 2
    assert place.lines() == [b"a", b"b"]


def test_messages_are_finished_once_they_are_synced(place: Place) -> None:
    place.publish(b"a")
    with place.archiving("--sync-interval=1h", "--filename-format=x") as tool:
        until(lambda: place.files() == {"x": b"a\n"})
        assert place.channel()["in_flight_count"] == 1
        tool.signal(signal.SIGHUP)
        place.finished(1)
        assert place.files() == {"x": b"a\n"}
        place.publish(*[b"b"] * 200)
        place.finished(201)  # as many as may be in flight are synced at once
        place.publish(b"c")
        until(lambda: place.lines()[-1:] == [b"c"])
        assert place.channel()["in_flight_count"] == 1
    assert place.channel()["in_flight_count"] == place.channel()["depth"] == 0
    assert place.lines() == [b"a", *[b"b"] * 200, b"c"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_order_however_often_they_come(place: Place, number: signal.Signals) -> None:
    place.publish(b"a")
    with place.archiving("--sync-interval=1h", f"--work-dir={place.work}") as tool:
        until(lambda: b"a\n" in place.files(place.work).values())
        assert place.channel()["in_flight_count"] == 1
        tool.signal(number)
        try:
            tool.signal(number)
        except ProcessLookupError:
            pass
        assert tool.wait() == 0
    assert place.lines() == [b"a"]
    assert place.files(place.work) == {}
    assert place.channel()["in_flight_count"] == place.channel()["depth"] == 0


def test_log_lines_have_the_level_and_prefix_of_their_flags(place: Place) -> None:
    place.publish(b"a")
    with place.archiving("--log-level=ERROR") as tool:
        place.finished(1)
    assert tool.err == ""
    place.publish(b"b")
    with place.archiving("--log-prefix=archive: ") as tool:
        place.finished(2)
    form = r"archive: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} (INFO|WARNING): .+"
    assert all(re.fullmatch(form, line) for line in tool.err.splitlines())
    for said in ("opening ", "syncing 1 records to disk"):
        assert f" INFO: [{place.topic}/nsq_to_file] {said}" in tool.err


def test_a_url_in_the_environment_is_a_source(place: Place) -> None:
    place.publish(b"a")
    with place.archiving(f"--topic={place.topic}", named=False, env={"NSQ_URL": f"nsqd://{place.nsqd.tcp}"}):
        place.finished(1)
    assert place.lines() == [b"a"]


def test_a_folder_that_is_none_is_told_of_at_the_start(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    source = [
        f"--nsqd-tcp-address={place.nsqd.tcp}",
        f"--topic={place.topic}",
        f"--output-dir={place.output}",
    ]
    for flag in ("output-dir", "work-dir"):
        ended = run_tool("nsq_to_file", *source, f"--{flag}={file}/below")
        assert ended.status == 1
        assert re.fullmatch(rf"\S+ \S+ --{flag} {file}/below: \S.+\n", ended.err)
    assert place.channel() == {}  # nothing was received
