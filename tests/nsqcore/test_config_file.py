"""What config files may say, in every form that makes sense; and the original's words for what makes none."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nsqcore.config_file import coerce, read_options, read_table
from nsqcore.durations import Duration
from nsqcore.logs import LogLevel
from nsqcore.options import BadConfig, flags_of, option
from nsqd.options import command_line
from tests.properties.fuzzing import examples


def _percentiles(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadConfig(f"Could not parse: {text}") from None


@dataclass
class Options:
    log_prefix: str = option("[nsqd] ", "the prefix")
    mem_queue_size: int = option(10_000, "messages in memory")
    node_id: int = option(7, "the node", key="id")
    msg_timeout: Duration = option(Duration.parse("60s"), "time for a message")
    snappy: bool = option(True, "offer snappy")
    deflate: bool = option(False, "offer deflate")
    addresses: list[str] = option(list[str](), "where to register", flag="lookupd-tcp-address")
    percentiles: list[float] = option(list[float](), "latencies", parse=_percentiles)
    log_level: LogLevel = option(LogLevel("INFO"), "the level", parse=LogLevel.parse)


FLAGS = {flag.field: flag for flag in flags_of(Options)}


def taken(toml: str) -> dict[str, object]:
    return read_options(tomllib.loads(toml), FLAGS.values(), ("log_level",))


@pytest.mark.parametrize(
    ("toml", "field", "value"),
    [
        ("snappy = false", "snappy", False),
        ('snappy = "f"', "snappy", False),
        ("snappy = 0", "snappy", False),
        ("deflate = 1", "deflate", True),
        ("deflate = 5", "deflate", True),
        ("mem_queue_size = 7", "mem_queue_size", 7),
        ("mem_queue_size = 0x10", "mem_queue_size", 16),
        ('mem_queue_size = "7"', "mem_queue_size", 7),
        ('mem_queue_size = "010"', "mem_queue_size", 10),
        ('mem_queue_size = "-7"', "mem_queue_size", -7),
        ("id = 5", "node_id", 5),
        ("msg_timeout = 5000", "msg_timeout", Duration.parse("5s")),
        ('msg_timeout = "10s"', "msg_timeout", Duration.parse("10s")),
        ('msg_timeout = "0"', "msg_timeout", Duration(0)),
        ('log_level = "DEBUG"', "log_level", "DEBUG"),
        ("log_prefix = 5", "log_prefix", "5"),
        ("log_prefix = true", "log_prefix", "true"),
        ("log_prefix = 1.50", "log_prefix", "1.5"),
        ('addresses = ["a:1", "b:2"]', "addresses", ["a:1", "b:2"]),
        ('addresses = "a:1,b:2"', "addresses", ["a:1", "b:2"]),
        ('addresses = ""', "addresses", []),
        ("addresses = []", "addresses", []),
        ("percentiles = [0.99, 1]", "percentiles", [0.99, 1.0]),
        ("percentiles = [0.5, 0.99]", "percentiles", [0.5, 0.99]),
        ('percentiles = "0.99, 0.5"', "percentiles", [0.99, 0.5]),
        ("percentiles = 0.5", "percentiles", [0.5]),
        ('percentiles = ["0.5"]', "percentiles", [0.5]),
    ],
)
def test_a_value_is_taken_in_every_form_that_makes_sense(toml: str, field: str, value: object) -> None:
    assert taken(toml) == {field: value}


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ('mem_queue_size = "0x10"', '0x10 (10000) for field MemQueueSize - strconv.ParseInt: parsing "0x10": invalid syntax'),
        ('mem_queue_size = "1_0"', '1_0 (10000) for field MemQueueSize - strconv.ParseInt: parsing "1_0": invalid syntax'),
        (
            'mem_queue_size = "99999999999999999999"',
            '99999999999999999999 (10000) for field MemQueueSize - strconv.ParseInt: parsing "99999999999999999999": value out of range',
        ),
        ("mem_queue_size = 1.0", "1 (10000) for field MemQueueSize - invalid int64 value type float64"),
        ("mem_queue_size = true", "true (10000) for field MemQueueSize - invalid int64 value type bool"),
        ("id = [1]", "[1] (7) for field ID - invalid int64 value type []interface {}"),
        ('msg_timeout = "5"', '5 (1m0s) for field MsgTimeout - time: missing unit in duration "5"'),
        ('msg_timeout = "x"', 'x (1m0s) for field MsgTimeout - time: invalid duration "x"'),
        ("msg_timeout = 1.5", "1.5 (1m0s) for field MsgTimeout - invalid time.Duration value type float64"),
        ("msg_timeout = true", "true (1m0s) for field MsgTimeout - invalid time.Duration value type bool"),
        (
            'snappy = "maybe"',
            'maybe (true) for field SnappyEnabled - strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        ("snappy = 1.5", "1.5 (true) for field SnappyEnabled - invalid bool value type float64"),
        (
            'percentiles = "0.5, abc"',
            '0.5, abc ([]) for field Percentiles - strconv.ParseFloat: parsing "abc": invalid syntax',
        ),
    ],
)  # fmt: skip
def test_a_value_that_makes_none_is_refused_in_the_originals_words(toml: str, line: str) -> None:
    with pytest.raises(BadConfig) as refused:
        taken(toml)
    assert str(refused.value) == f"ERROR: Resolve failed to coerce value {line}"
    assert refused.value.plain
    assert ": want " in refused.value.hint


@pytest.mark.parametrize(
    ("toml", "wanted"),
    [
        ("addresses = [1]", "[]string value type []interface {}"),
        ("addresses = 1", "[]string value type int64"),
        ("percentiles = [true]", "[]float64 value type []interface {}"),
        ("percentiles = [[1]]", "[]float64 value type []interface {}"),
    ],
)
def test_what_crashes_the_original_or_means_nothing_to_it_is_refused_alike(toml: str, wanted: str) -> None:
    with pytest.raises(BadConfig, match="invalid ") as refused:
        taken(toml)
    assert str(refused.value).endswith(f" - invalid {wanted}")


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ('log_level = "zzz"', "failed parsing log_level zzz"),
        ("log_level = 5", "failed parsing log_level 5"),
        ("log_level = true", "failed parsing log_level true"),
        ('log_level = ["x", 1]', "failed parsing log_level [x 1]"),
        ('log_level = "zzz"\nid = "x"', "failed parsing log_level zzz"),
        ('id = "x"\nlog_level = "zzz"', "failed parsing log_level zzz"),
    ],
)
def test_words_with_a_meaning_are_looked_at_first(toml: str, line: str) -> None:
    with pytest.raises(BadConfig) as refused:
        taken(toml)
    assert str(refused.value) == line
    assert not refused.value.plain


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"a b c", r"toml: line 1: .*"),
        (b"a = 1\nb = \n", r"toml: line 2: .*"),
        (b"a = 1\na = 2\n", r"toml: line 2: Cannot overwrite a value"),
        (b"a = 1\na = 2", r"toml: line 2: Cannot overwrite a value"),
        (b"a = 1\n\nb = '\xff'", r"toml: line 3: invalid UTF-8 byte: 0xff"),
        (b"\n\na = ", r"toml: line 3: .*"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(raw: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    with pytest.raises(BadConfig, match=f"^failed to load config file {path} - {reason}$"):
        read_table(str(path))


def test_what_can_not_be_read_is_told_in_gos_words(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as missing:
        read_table("/nope")
    assert str(missing.value) == "failed to load config file /nope - open /nope: no such file or directory"
    with pytest.raises(BadConfig) as folder:
        read_table(str(tmp_path))
    assert str(folder.value) == f"failed to load config file {tmp_path} - read {tmp_path}: is a directory"


def test_windows_ends_of_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"a = 1\r\nb = 2\r\n")
    assert read_table(str(path)) == {"a": 1, "b": 2}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@examples(300)
@given(value=_VALUES)
def test_whatever_stands_in_a_file_is_taken_or_refused(value: object) -> None:
    for flag in command_line().flags.values():
        try:
            found = coerce(flag, value)
        except BadConfig:
            continue
        assert isinstance(found, type(flag.default)) or flag.custom is not None
