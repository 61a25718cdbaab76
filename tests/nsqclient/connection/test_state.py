from __future__ import annotations

import pytest

from nsqclient.connection.state import Agreement, Event, Identity, OutOfTurn, Phase, advance, read_refusal


def walk(*events: Event) -> Phase:
    phase = Phase.OPEN
    for event in events:
        phase = advance(phase, event)
    return phase


def test_a_consumers_way() -> None:
    start = (Event.IDENTIFY, Event.ANSWER, Event.SUB, Event.ANSWER)
    assert walk(*start, Event.RDY, Event.MESSAGE, Event.RDY) is Phase.SUBSCRIBED
    assert walk(*start, Event.RDY, Event.CLS, Event.MESSAGE) is Phase.CLOSING


def test_a_producers_way() -> None:
    assert walk(Event.IDENTIFY, Event.ANSWER, Event.PUB, Event.PUB) is Phase.IDENTIFIED


@pytest.mark.parametrize("phase", Phase)
def test_the_end_is_possible_everywhere(phase: Phase) -> None:
    assert advance(phase, Event.END) is Phase.DEAD


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        (Phase.OPEN, Event.SUB),
        (Phase.IDENTIFYING, Event.IDENTIFY),
        (Phase.IDENTIFIED, Event.RDY),
        (Phase.IDENTIFIED, Event.MESSAGE),
        (Phase.SUBSCRIBED, Event.SUB),
        (Phase.SUBSCRIBED, Event.PUB),
        (Phase.CLOSING, Event.RDY),
        (Phase.CLOSING, Event.CLS),
        (Phase.DEAD, Event.PUB),
    ],
)
def test_what_is_out_of_turn_names_both(phase: Phase, event: Event) -> None:
    with pytest.raises(OutOfTurn, match=f"{event.value} in phase {phase.value}"):
        advance(phase, event)


def test_the_agreement_is_read_from_the_answer() -> None:
    agreed = Agreement.from_answer(
        b'{"max_rdy_count":100,"version":"1.3.0","max_msg_timeout":90000,"msg_timeout":5500,'
        b'"auth_required":true,"sample_rate":0}'
    )
    assert agreed == Agreement("1.3.0", 100, 5.5, 90.0, True)


@pytest.mark.parametrize("answer", [b"OK", b"[1]", b"{}", b'{"max_rdy_count":"x","msg_timeout":-1}'])
def test_without_negotiation_the_defaults_hold(answer: bytes) -> None:
    assert Agreement.from_answer(answer) == Agreement("", 2500, 60.0, 900.0, False)


def test_a_fatal_refusal_has_its_code() -> None:
    refusal = read_refusal(b'E_BAD_TOPIC PUB topic name "!" is not valid')
    assert (refusal.code, refusal.fatal, refusal.message_id) == ("E_BAD_TOPIC", True, b"")
    assert refusal.text.endswith("is not valid")


@pytest.mark.parametrize("verb", ["FIN", "REQ", "TOUCH"])
def test_a_failed_answer_is_not_fatal_and_names_its_message(verb: str) -> None:
    refusal = read_refusal(f"E_{verb}_FAILED {verb} 0123456789abcdef failed ID not in flight".encode())
    assert (refusal.fatal, refusal.message_id) == (False, b"0123456789abcdef")


def test_a_refusal_of_odd_bytes_can_be_read() -> None:
    assert read_refusal(b"\xff").code == "\ufffd"


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 100_000,
        b'{"version": ' + b"[" * 100_000,
        b'{"msg_timeout": 1' + b"0" * 400 + b"}",
        b'{"max_msg_timeout": 1' + b"0" * 400 + b"}",
        b'{"max_rdy_count": true, "msg_timeout": true, "max_msg_size": true, "deflate_level": true}',
        b'{"permission_count": 1e999, "identity": {}, "identity_url": []}',
        b'{"max_rdy_count": NaN, "version": NaN}',
    ],
)
def test_answers_that_make_no_sense_mean_the_defaults(answer: bytes) -> None:
    assert Agreement.from_answer(answer) == Agreement()
    assert Identity.from_answer(answer) == Identity()
