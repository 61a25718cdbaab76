from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterator

import pytest

from nsqcore import logs
from nsqcore.logs import LONGEST_MESSAGE, GoFormatter, JsonFormatter, LogFormat, LogLevel

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"


def record(level: int, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("name", level, "", 0, text, arguments, None)


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "asyncio", "aiohttp")]
    before = [(logger, logger.handlers, logger.level) for logger in loggers]
    raising = logging.raiseExceptions
    yield
    logging.raiseExceptions = raising
    for logger, handlers, level in before:
        logger.handlers = handlers
        logger.setLevel(level)


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (logging.DEBUG, "DEBUG"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARNING"),
        (logging.ERROR, "ERROR"),
        (logging.CRITICAL, "FATAL"),
    ],
)
def test_a_line_has_prefix_local_time_level_and_text(level: int, word: str) -> None:
    line = GoFormatter("[nsqd] ").format(record(level, "TOPIC(%s): created", "t"))
    assert re.fullmatch(rf"\[nsqd\] {STAMP} {word}: TOPIC\(t\): created", line)


def test_the_time_is_that_of_the_event() -> None:
    event = record(logging.INFO, "x")
    event.created = 1_700_000_000.25
    local = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(1_700_000_000))
    assert GoFormatter("").format(event) == f"{local}.250000 INFO: x"


def test_what_a_peer_sent_can_not_begin_a_line_or_steer_a_terminal() -> None:
    line = GoFormatter("").format(record(logging.INFO, "magic '%s'", "a\r\n\x1b[2J\x00\x9bé\tb"))
    assert line.endswith(r"magic 'a\r\n\x1b[2J\x00\x9bé" + "\tb'")


def test_an_exception_adds_its_traceback() -> None:
    event = record(logging.ERROR, "panic")
    try:
        raise ZeroDivisionError("of nothing")
    except ZeroDivisionError:
        event.exc_info = sys.exc_info()
    first, second, *_, last = GoFormatter("").format(event).splitlines()
    assert first.endswith("ERROR: panic")
    assert second == "Traceback (most recent call last):"
    assert last == "ZeroDivisionError: of nothing"


@pytest.mark.parametrize("text", ["debug", "Info", "WARN", "error", "fatal"])
def test_a_level_is_read_in_any_letter_case(text: str) -> None:
    assert LogLevel.parse(text) == text


@pytest.mark.parametrize("text", ["warning", "", "0", "trace"])
def test_another_word_is_no_level(text: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^invalid log level '{text}' \(debug, info, warn, error, fatal\)$"
    ):
        LogLevel.parse(text)


def test_a_level_has_gos_number() -> None:
    assert [LogLevel(word).number for word in ("debug", "INFO", "warn", "error", "fatal")] == [1, 2, 3, 4, 5]


def test_events_go_to_stderr_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("[p] ", LogLevel("warn"), LogFormat("text"))
    log = logging.getLogger("nsqd.anything")
    log.info("hidden")
    log.warning("shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"\[p\] {STAMP} WARNING: shown\n", err)
    logs.set_level(LogLevel("debug"))
    log.debug("now this too")
    assert "DEBUG: now this too" in capsys.readouterr().err


def test_libraries_never_log_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("", LogLevel("debug"), LogFormat("text"))
    for library in ("asyncio", "aiohttp.server"):
        logging.getLogger(library).info("a request")
        logging.getLogger(library).warning("from %s", library)
    assert re.sub(STAMP, "", capsys.readouterr().err) == (
        " WARNING: from asyncio\n WARNING: from aiohttp.server\n"
    )


def test_a_fatal_line_has_the_programs_own_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    logs.fatal("nsqd", "it is over")
    assert re.fullmatch(rf"\[nsqd\] {STAMP} FATAL: it is over\n", capsys.readouterr().err)


def test_a_plain_line_has_the_date_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.plain("Could not parse: \x1b")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d Could not parse: \\x1b\n", capsys.readouterr().err)


@pytest.mark.parametrize("formatter", [GoFormatter("[p] "), JsonFormatter("[p] ")])
def test_what_peers_send_is_not_logged_without_bound(formatter: logging.Formatter) -> None:
    line = formatter.format(record(logging.ERROR, "%s", "x" * 1_000_000))
    assert len(line) < LONGEST_MESSAGE + 200
    assert "x... (1000000 characters)" in line
    whole = "x" * LONGEST_MESSAGE
    assert whole in formatter.format(record(logging.ERROR, "%s", whole))
    assert "..." not in formatter.format(record(logging.ERROR, "%s", whole))


# ---- JSON ----


@pytest.mark.parametrize(
    "text", ["plain", "a\nb\r\x00\x1b[2J\u2028", 'quotes " and \\', "é€😀", "\udcff\ud800"]
)
def test_a_json_event_is_one_line_whatever_is_in_it(text: str) -> None:
    line = JsonFormatter("[nsqd] ").format(record(logging.WARNING, "<%s>", text))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    event = json.loads(line)
    assert event["level"] == "WARNING"
    assert event["prefix"] == "[nsqd]"
    assert event["message"] == f"<{text.encode(errors='backslashreplace').decode()}>"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", event["time"])


def test_json_levels_are_the_originals_words() -> None:
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    lines = [JsonFormatter("").format(record(level, "x")) for level in levels]
    assert [json.loads(line)["level"] for line in lines] == ["DEBUG", "INFO", "WARNING", "ERROR", "FATAL"]


def test_a_json_event_holds_its_traceback() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        event = record(logging.ERROR, "x")
        event.exc_info = sys.exc_info()
    line = JsonFormatter("").format(event)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["traceback"].endswith("ValueError: broken\nin two")
    assert "traceback" not in json.loads(JsonFormatter("").format(record(logging.ERROR, "x")))


def test_a_fatal_line_is_json_when_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("[other] ", LogLevel("info"), LogFormat("json"))
    logging.getLogger("x").info("an event")
    logs.fatal("nsqd", "it is over")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(e["level"], e["prefix"], e["message"]) for e in events] == [
        ("INFO", "[other]", "an event"),
        ("FATAL", "[nsqd]", "it is over"),
    ]


@pytest.mark.parametrize("text", ["JSON", "", "xml"])
def test_there_are_two_formats(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^invalid log format '{text}' \(text, json\)$"):
        LogFormat.parse(text)
