from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from nsqclient import ConfigError
from nsqclient.tools.to_file.naming import MISSING_REVISION, FileNames, host_name, strftime
from nsqclient.tools.to_file.settings import Settings

MORNING = datetime(2025, 3, 2, 7, 5, 9, tzinfo=timezone(timedelta(hours=5, minutes=30), "IST"))
EVENING = datetime(2024, 12, 31, 19, 45, 59, tzinfo=timezone(timedelta(hours=-3), "BRT"))
MIDNIGHT = datetime(1999, 1, 1, 0, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "morning", "evening"),
    [
        ("%B", "March", "December"),
        ("%b", "Mar", "Dec"),
        ("%m", "03", "12"),
        ("%A", "Sunday", "Tuesday"),
        ("%a", "Sun", "Tue"),
        ("%d", "02", "31"),
        ("%H", "07", "19"),
        ("%I", "07", "07"),
        ("%M", "05", "45"),
        ("%S", "09", "59"),
        ("%Y", "2025", "2024"),
        ("%y", "25", "24"),
        ("%p", "AM", "PM"),
        ("%Z", "IST", "BRT"),
        ("%z", "+0530", "-0300"),
        ("%%", "%", "%"),
        ("%%H", "%H", "%H"),
        ("%j", "%j", "%j"),
        ("%", "%", "%"),
        ("%Y%", "2025%", "2024%"),
        ("%-d", "%-d", "%-d"),
    ],
)
def test_known_codes_are_spelled_out_and_others_stay_as_typed(code: str, morning: str, evening: str) -> None:
    assert (strftime(code, MORNING), strftime(code, EVENING)) == (morning, evening)


def test_twelve_is_the_hour_of_noon_and_of_midnight() -> None:
    assert strftime("%I%p", MIDNIGHT) == "12AM"
    assert strftime("%I%p", MIDNIGHT.replace(hour=12)) == "12PM"


@pytest.mark.parametrize(
    "text", ["v1-Jan-5-", "2006", "15", "Mon MST PM", "01/02 03:04:05PM '06 -0700", "_2"]
)
def test_plain_text_stays_as_typed_even_where_it_looks_like_a_layout(text: str) -> None:
    assert strftime(text + "%H", MORNING) == text + "07"


def names(form: str, **more: object) -> FileNames:
    settings = Settings(filename_format=form, host="box", pid=42, **more)  # type: ignore[arg-type]
    return FileNames("orders", settings)


@pytest.mark.parametrize(
    ("form", "more", "name"),
    [
        ("<TOPIC>.<HOST><REV>.<DATETIME>.log", {}, "orders.box.2025-03-02_07.log"),
        ("<TOPIC>.<HOST><REV>.<DATETIME>.log", {"gzip": True}, "orders.box-000003.2025-03-02_07.log.gz"),
        ("<TOPIC><REV>.gz", {"gzip": True}, "orders-000003.gz"),
        ("<TOPIC><REV>.log", {"rotate_size": 1}, "orders-000003.log"),
        ("<TOPIC><REV>.log", {"rotate_interval": 1.0}, "orders-000003.log"),
        ("<TOPIC><REV>.log", {"work_dir": "/tmp/work"}, "orders-000003.log"),
        ("<TOPIC><REV>.log", {"work_dir": "/tmp"}, "orders.log"),
        ("<PID>/<DATETIME>/<TOPIC>", {"datetime_format": "%Y/%m"}, "42/2025/03/orders"),
        ("<REV>/<TOPIC><REV>", {"gzip": True}, "-000003/orders-000003.gz"),
        ("/<TOPIC>", {}, "orders"),
        ("<topic>.log", {}, "<topic>.log"),
    ],
)
def test_tags_are_filled_in(form: str, more: dict[str, object], name: str) -> None:
    made = names(form, **more)
    assert made.with_revision(made.at(MORNING), 3) == name
    assert made.is_ours(name)


@pytest.mark.parametrize(
    "more", [{"gzip": True}, {"rotate_size": 1}, {"rotate_interval": 1.0}, {"work_dir": "/tmp/other"}]
)
def test_a_revision_is_demanded_where_a_name_may_be_wanted_twice(more: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        names("<TOPIC>.log", **more)
    assert str(raised.value) == MISSING_REVISION


@pytest.mark.parametrize(
    "name",
    [
        "orders2.box-000000.2025-03-02_07.log.gz",
        "orders.otherbox-000000.2025-03-02_07.log.gz",
        "orders.box-000000.2025-03-02_07.log",
        "orders.box-00000.2025-03-02_07.log.gz",
        "orders.box-000000.2025-03-xx_07.log.gz",
        "ordersxbox-000000.2025-03-02_07.log.gz",
        "a/orders.box-000000.2025-03-02_07.log.gz",
    ],
)
def test_names_that_this_topic_on_this_host_would_not_have_are_not_ours(name: str) -> None:
    assert not names("<TOPIC>.<HOST><REV>.<DATETIME>.log", gzip=True).is_ours(name)


def test_names_of_other_processes_of_this_host_are_ours() -> None:
    assert names("<TOPIC>.<PID>").is_ours("orders.17")


def test_the_next_revision_changes_nothing_else() -> None:
    made = names("x-000001-<TOPIC><REV>/<REV>.<DATETIME>", gzip=True)
    name = made.with_revision(made.at(MORNING), 999_999)
    assert made.next_revision(name) == "x-000001-orders-1000000/-1000000.2025-03-02_07.gz"


def test_a_name_without_revision_has_no_next() -> None:
    with pytest.raises(ConfigError, match="has no revision"):
        names("<TOPIC>.log").next_revision("orders.log")


def test_the_host_is_its_name_up_to_the_first_dot_or_the_identifier() -> None:
    assert host_name("a.b.c") == "a"
    assert host_name("a.b.c", "x") == "x"
    assert host_name("a.b.c", "<SHORT_HOST>-<HOSTNAME>") == "a-a.b.c"
