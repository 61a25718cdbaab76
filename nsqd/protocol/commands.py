"""The commands of the V2 protocol: one handler per verb, and the loop that finds them in what was read.

A handler gets the session, the words of its line, the buffer and where the line ended; it returns where the
next command begins. A command whose body is not there yet returns minus the place up to which it needs the
buffer; one that has suspended the session and wants to be obeyed anew returns 0. Order of checks, texts and
codes are the original's (nsqd reference, 2.5).
"""

from __future__ import annotations

from collections.abc import Callable

from nsqd.client import State
from nsqd.debug_lines import command_end, show_command
from nsqd.errors import FatalError, ProtocolError
from nsqd.protocol.commands_consume import (
    FIN_SIZE,
    cls,
    fin,
    finish_one,
    finish_run,
    nop,
    rdy,
    req,
    sub,
    touch,
)
from nsqd.protocol.commands_identify import auth, identify
from nsqd.protocol.commands_publish import dpub, mpub, pub, unfinished_batch
from nsqd.protocol.parameters import text
from nsqd.protocol.session import Session

MAX_LINE = 16384
MAX_COMMANDS = 1000
"""Commands of one read that are obeyed in one go, some 3 ms; then others have the loop."""

_F = ord("F")

Handler = Callable[[Session, list[bytes], bytes, int, int], int]


class LineTooLong(Exception):
    """No end of line within 16,384 bytes: the connection is closed without an error frame."""


def obey(session: Session, buf: bytes, at: int = 0) -> int:
    """Obeys the commands in ``buf`` from ``at`` on; returns how many bytes are done with.

    Fewer than all are when a command is incomplete (``session.wanted`` says how much it needs), when one is
    still at work (``session.suspended``), when there were very many, or after a fatal error. Raises
    LineTooLong.
    """
    end, session.wanted = len(buf), 0
    client, find, left = session.client, buf.find, MAX_COMMANDS
    commands = COMMANDS if not session.tls_first else _BEFORE_TLS
    try:
        while at < end and left > 0:
            if buf[at] == _F and end - at >= FIN_SIZE and client.state is not State.INIT:
                done = (
                    finish_run(session, buf, at, end) if end - at > FIN_SIZE else finish_one(session, buf, at)
                )
                if done:
                    at += done
                    continue
            newline = find(b"\n", at, at + MAX_LINE)
            if newline < 0:
                if end - at >= MAX_LINE:
                    raise LineTooLong
                session.wanted = end - at + 1
                break
            line = buf[at : newline - 1] if buf[newline - 1] == 13 and newline > at else buf[at:newline]
            words = line.split(b" ")
            handler = commands.get(words[0])
            if handler is None:
                raise _unknown(session, text(words[0]))
            try:
                reached = handler(session, words, buf, newline + 1, end)
            except FatalError:
                raise
            except ProtocolError as e:
                session.refuse(e)
                reached = newline + 1
            if reached <= 0:
                session.wanted = -reached - at if reached else 0
                break
            at = reached
            left -= 1
            if session.suspended:
                break
    except FatalError as e:
        session.refuse(e)
        return end
    return at


def obey_aloud(session: Session, buf: bytes, at: int = 0) -> int:
    """As :func:`obey`, with a DEBUG line for each command."""
    for _ in range(MAX_COMMANDS):
        end = command_end(buf, at)
        if end < 0:
            done = obey(session, buf[at:])
            if session.over:
                show_command(session.client.remote_address, buf, at)
            return at + done
        if session.partial_batch is None:  # else it was shown before
            show_command(session.client.remote_address, buf, at)
        done = obey(session, buf[at:end])
        if not done and session.partial_batch is not None and not session.suspended:
            return at + obey(session, buf[at:])  # a batch that is longer than it says
        at += done
        if session.over:
            return len(buf)
        if session.suspended or not done or at == len(buf):
            break
    return at


COMMANDS: dict[bytes, Handler] = {
    b"IDENTIFY": identify,
    b"AUTH": auth,
    b"SUB": sub,
    b"PUB": pub,
    b"MPUB": mpub,
    b"DPUB": dpub,
    b"RDY": rdy,
    b"FIN": fin,
    b"REQ": req,
    b"TOUCH": touch,
    b"CLS": cls,
    b"NOP": nop,
}


_BEFORE_TLS: dict[bytes, Handler] = {b"IDENTIFY": identify}
"""What is obeyed where TLS is required, until it is there."""


def _unknown(session: Session, command: str) -> FatalError:
    if session.tls_first:
        return FatalError("E_INVALID", f"cannot {command} in current state (TLS required)")
    return FatalError("E_INVALID", f"invalid command {command}")


def truncated(session: Session, rest: bytes) -> FatalError | None:
    """What a client is told that ended its side inside a command; None when that needs no words."""
    line, newline, body = rest.partition(b"\n")
    command = text(line.rstrip(b"\r").split(b" ")[0])
    if not newline or command not in ("PUB", "DPUB", "MPUB", "IDENTIFY", "AUTH"):
        return None
    what, code = ("message body", "E_BAD_MESSAGE") if command in ("PUB", "DPUB") else ("body", "E_BAD_BODY")
    if len(body) < 4:
        return FatalError(code, f"{command} failed to read {what} size", "unexpected EOF" if body else "EOF")
    cause = "unexpected EOF" if len(body) > 4 else "EOF"
    if command != "MPUB":
        return FatalError(code, f"{command} failed to read {what}", cause)
    return unfinished_batch(session, body) or FatalError(code, "MPUB failed to read body", cause)
