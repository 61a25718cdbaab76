"""Every command: good, borderline and bad, what is answered, and whether the connection lives.

The last test asks whether every error of the original is told somewhere (nsqd reference, 2.5).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import tests
from nsqcore.wire.frames import ERROR, RESPONSE
from tests.nsqd.command_table import ACCEPTED, FLAGS, REFUSED
from tests.nsqd.test_framing import TRUNCATED
from tests.support.nsqd import Node

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """Limits low enough to go beyond."""
    async with Node(tmp_path, *FLAGS) as running:
        yield running


@pytest.mark.parametrize(("sent", "answers"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_is_good_or_merely_missed_is_answered_and_survived(
    node: Node, sent: bytes, answers: list[bytes]
) -> None:
    client = await node.connect()
    client.send(sent)
    for data in answers:
        assert await client.frame() == (ERROR if data.startswith(b"E_") else RESPONSE, data)
    await client.alive()


@pytest.mark.parametrize(("sent", "before", "error"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_fatal_error_is_told_and_ends_the_connection(
    node: Node, sent: bytes, before: list[bytes], error: str
) -> None:
    client = await node.connect()
    client.send(sent)
    for data in before:
        await client.expect(data)
    await client.refused(error)


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        *ACCEPTED.values(),
        *((sent, [*before, error.encode()]) for sent, before, error in REFUSED.values()),
    ],
    ids=[*ACCEPTED, *REFUSED],
)
async def test_the_answers_are_the_same_when_the_bytes_come_one_by_one(
    node: Node, sent: bytes, answers: list[bytes]
) -> None:
    client = await node.connect(magic=b"")
    connection = await node.end_of(client)
    for byte in b"  V2" + sent:
        connection.data_received(bytes([byte]))
    for data in answers:
        assert (await client.frame())[1] == data


# -- every error of the original -------------------------------------------------------------------

_AUTH = "nsqd/protocol/test_auth.py"
_FAILING = "nsqd/protocol/test_connection.py"
_TLS = "nsqd/layers/test_tls.py"
# (error, the test file that tells of it if the tables do not). Four are left out, for there is no way to them
# here: "E_AUTH_ERROR AUTH error", "E_SUB_FAILED SUB failed to deleted topic/channel", and that a REQ failed for
# "exiting" or "ID already deferred".
ERRORS: list[tuple[str, str]] = [
    ("E_INVALID invalid command %s", ""),
    ("E_BAD_PROTOCOL", "nsqd/protocol/test_connection.py"),
    ("E_INVALID cannot IDENTIFY in current state", ""),
    ("E_BAD_BODY IDENTIFY failed to read body size", ""),
    ("E_BAD_BODY IDENTIFY body too big %d > %d", ""),
    ("E_BAD_BODY IDENTIFY invalid body size %d", ""),
    ("E_BAD_BODY IDENTIFY failed to read body", ""),
    ("E_BAD_BODY IDENTIFY failed to decode JSON body", ""),
    ("E_BAD_BODY IDENTIFY heartbeat interval (%d) is invalid", ""),
    ("E_BAD_BODY IDENTIFY output buffer timeout (%d) is invalid", ""),
    ("E_BAD_BODY IDENTIFY output buffer size (%d) is invalid", ""),
    ("E_BAD_BODY IDENTIFY sample rate (%d) is invalid", ""),
    ("E_BAD_BODY IDENTIFY msg timeout (%d) is invalid", ""),
    ("E_IDENTIFY_FAILED cannot enable both deflate and snappy compression", "nsqd/protocol/test_upgrade.py"),
    ("E_IDENTIFY_FAILED IDENTIFY failed %s", _TLS),
    ("E_INVALID cannot %s in current state (TLS required)", _TLS),
    ("E_INVALID cannot AUTH in current state", ""),
    ("E_INVALID AUTH invalid number of parameters", ""),
    ("E_BAD_BODY AUTH failed to read body size", ""),
    ("E_BAD_BODY AUTH body too big %d > %d", ""),
    ("E_BAD_BODY AUTH invalid body size %d", ""),
    ("E_BAD_BODY AUTH failed to read body", ""),
    ("E_INVALID AUTH already set", _AUTH),
    ("E_AUTH_DISABLED AUTH disabled", ""),
    ("E_AUTH_FAILED AUTH failed", _AUTH),
    ("E_UNAUTHORIZED AUTH no authorizations found", _AUTH),
    ("E_AUTH_FIRST AUTH required before %s", _AUTH),
    ("E_UNAUTHORIZED AUTH failed for %s on %q %q", _AUTH),
    ("E_INVALID cannot SUB in current state", ""),
    ("E_INVALID cannot SUB with heartbeats disabled", ""),
    ("E_INVALID SUB insufficient number of parameters", ""),
    ("E_BAD_TOPIC SUB topic name %q is not valid", ""),
    ("E_BAD_CHANNEL SUB channel name %q is not valid", ""),
    ("E_SUB_FAILED SUB failed consumers for %s:%s exceeds limit of %d", "nsqd/test_ends_and_limits.py"),
    ("E_SUB_FAILED SUB failed exiting", "nsqd/test_ends_and_limits.py"),
    ("E_INVALID cannot RDY in current state", ""),
    ("E_INVALID RDY could not parse count %s", ""),
    ("E_INVALID RDY count %d out of range 0-%d", ""),
    ("E_INVALID invalid message ID", ""),
    *(
        (text.replace("CMD", command), tables)
        for command in ("FIN", "REQ", "TOUCH")
        for text, tables in (
            ("E_INVALID cannot CMD in current state", ""),
            ("E_INVALID CMD insufficient number of params", ""),
            ("E_CMD_FAILED CMD %s failed ID not in flight", ""),
            ("E_CMD_FAILED CMD %s failed client does not own message", "nsqd/protocol/test_commands.py"),
        )
    ),
    ("E_INVALID REQ could not parse timeout %s", ""),
    ("E_INVALID cannot CLS in current state", ""),
    ("E_INVALID PUB insufficient number of parameters", ""),
    ("E_BAD_TOPIC PUB topic name %q is not valid", ""),
    ("E_BAD_MESSAGE PUB failed to read message body size", ""),
    ("E_BAD_MESSAGE PUB invalid message body size %d", ""),
    ("E_BAD_MESSAGE PUB message too big %d > %d", ""),
    ("E_BAD_MESSAGE PUB failed to read message body", ""),
    ("E_PUB_FAILED PUB failed %s", _FAILING),
    ("E_INVALID MPUB insufficient number of parameters", ""),
    ("E_BAD_TOPIC E_BAD_TOPIC MPUB topic name %q is not valid", ""),
    ("E_BAD_BODY MPUB failed to read body size", ""),
    ("E_BAD_BODY MPUB invalid body size %d", ""),
    ("E_BAD_BODY MPUB body too big %d > %d", ""),
    ("E_BAD_BODY MPUB failed to read message count", ""),
    ("E_BAD_BODY MPUB invalid message count %d", ""),
    ("E_BAD_MESSAGE MPUB failed to read message(%d) body size", ""),
    ("E_BAD_MESSAGE MPUB invalid message(%d) body size %d", ""),
    ("E_BAD_MESSAGE MPUB message too big %d > %d", ""),
    ("E_BAD_MESSAGE MPUB failed to read message body", ""),
    ("E_MPUB_FAILED MPUB failed %s", _FAILING),
    ("E_INVALID DPUB insufficient number of parameters", ""),
    ("E_BAD_TOPIC DPUB topic name %q is not valid", ""),
    ("E_INVALID DPUB could not parse timeout %s", ""),
    ("E_INVALID DPUB timeout %d out of range 0-%d", ""),
    ("E_BAD_MESSAGE DPUB failed to read message body size", ""),
    ("E_BAD_MESSAGE DPUB invalid message body size %d", ""),
    ("E_BAD_MESSAGE DPUB message too big %d > %d", ""),
    ("E_BAD_MESSAGE DPUB failed to read message body", ""),
    ("E_DPUB_FAILED DPUB failed %s", _FAILING),
]
TOLD = [
    *(error for _, _, error in REFUSED.values()),
    *(error for _, error in TRUNCATED.values()),
    *(data.decode("latin-1") for _, answers in ACCEPTED.values() for data in answers),
]


@pytest.mark.parametrize(("error", "file"), ERRORS, ids=[error for error, _ in ERRORS])
def test_every_error_of_the_original_is_told_somewhere(error: str, file: str) -> None:
    if file:
        constant = max(re.split("%[dqs]", error), key=len)
        assert constant in (Path(tests.__file__).parent / file).read_text(encoding="utf-8")
    else:
        pattern = re.escape(error).replace("%d", r"-?\d+").replace("%q", '".*"').replace("%s", ".*")
        assert any(re.fullmatch(pattern, told, re.DOTALL) for told in TOLD)


def test_the_tables_tell_no_error_that_the_original_has_not() -> None:
    patterns = [
        re.escape(error).replace("%d", r"-?\d+").replace("%q", '".*"').replace("%s", ".*")
        for error, _ in ERRORS
    ]
    assert [
        told
        for told in TOLD
        if told.startswith("E_") and not any(re.fullmatch(p, told, re.DOTALL) for p in patterns)
    ] == []
