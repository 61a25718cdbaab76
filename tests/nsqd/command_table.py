"""What commands are answered, as tables: good and borderline ones, those that are refused, each to the byte.

The daemon's limits are those of :data:`FLAGS`.
"""

from __future__ import annotations

import struct

from nsqcore.wire.commands import encode_batch, encode_mpub
from tests.support.nsqd import UNKNOWN_ID

FLAGS = (
    "--max-msg-size=100",
    "--max-body-size=1000",
    "--max-rdy-count=50",
    "--max-req-timeout=10s",
)
SUB = b"SUB t c\n"
CLS = SUB + b"CLS\n"
ID = UNKNOWN_ID


def i32(number: int) -> bytes:
    return struct.pack(">i", number)


def identify(body: str) -> bytes:
    return b"IDENTIFY\n" + i32(len(body)) + body.encode()


# (what is sent, what is answered before the error, the error, which ends the connection)
REFUSED: dict[str, tuple[bytes, list[bytes], str]] = {
    "an unknown command": (b"BOGUS a b\n", [], "E_INVALID invalid command BOGUS"),
    "a lower-case command": (b"nop\n", [], "E_INVALID invalid command nop"),
    "an empty line": (b"\n", [], "E_INVALID invalid command "),
    "a line of one blank": (b" \n", [], "E_INVALID invalid command "),
    "a command behind a blank": (b" NOP\n", [], "E_INVALID invalid command "),
    "only the carriage return before the end of line is no part of it": (
        b"NOP\r\r\n",
        [],
        "E_INVALID invalid command NOP\r",
    ),
    "AUTH while auth is off": (b"AUTH\n" + i32(1) + b"s", [], "E_AUTH_DISABLED AUTH disabled"),
    "AUTH with a parameter": (b"AUTH x\n", [], "E_INVALID AUTH invalid number of parameters"),
    "AUTH behind SUB": (SUB + b"AUTH\n", [b"OK"], "E_INVALID cannot AUTH in current state"),
    "AUTH behind CLS": (CLS + b"AUTH\n", [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot AUTH in current state"),
    "AUTH of too many bytes": (b"AUTH\n" + i32(1001), [], "E_BAD_BODY AUTH body too big 1001 > 1000"),
    "AUTH of no bytes": (b"AUTH\n" + i32(0), [], "E_BAD_BODY AUTH invalid body size 0"),
    "IDENTIFY behind SUB": (SUB + b"IDENTIFY\n", [b"OK"], "E_INVALID cannot IDENTIFY in current state"),
    "IDENTIFY behind CLS": (
        CLS + b"IDENTIFY\n",
        [b"OK", b"CLOSE_WAIT"],
        "E_INVALID cannot IDENTIFY in current state",
    ),
    "IDENTIFY of too many bytes": (
        b"IDENTIFY\n" + i32(1001),
        [],
        "E_BAD_BODY IDENTIFY body too big 1001 > 1000",
    ),
    "IDENTIFY of no bytes": (b"IDENTIFY\n" + i32(0), [], "E_BAD_BODY IDENTIFY invalid body size 0"),
    "IDENTIFY of fewer bytes than none": (
        b"IDENTIFY\n" + i32(-7),
        [],
        "E_BAD_BODY IDENTIFY invalid body size -7",
    ),
    "IDENTIFY with what is no JSON": (
        b"IDENTIFY\n" + i32(3) + b"{a}",
        [],
        "E_BAD_BODY IDENTIFY failed to decode JSON body",
    ),
    "IDENTIFY with a bad heartbeat interval": (
        b"IDENTIFY\n" + i32(26) + b'{"heartbeat_interval":999}',
        [],
        "E_BAD_BODY IDENTIFY heartbeat interval (999) is invalid",
    ),
    "SUB behind SUB": (SUB + SUB, [b"OK"], "E_INVALID cannot SUB in current state"),
    "SUB behind CLS": (CLS + SUB, [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot SUB in current state"),
    "SUB without heartbeats": (
        b"IDENTIFY\n" + i32(25) + b'{"heartbeat_interval":-1}' + SUB,
        [b"OK"],
        "E_INVALID cannot SUB with heartbeats disabled",
    ),
    "SUB without a channel": (b"SUB t\n", [], "E_INVALID SUB insufficient number of parameters"),
    "SUB to a bad topic": (b"SUB t@ c\n", [], 'E_BAD_TOPIC SUB topic name "t@" is not valid'),
    "SUB to a topic without a name": (b"SUB  c\n", [], 'E_BAD_TOPIC SUB topic name "" is not valid'),
    "SUB to a bad channel": (
        b"SUB t c\xff\n",
        [],
        'E_BAD_CHANNEL SUB channel name "c\\xff" is not valid',
    ),
    "a bad topic comes before a bad channel": (
        b"SUB $ $\n",
        [],
        'E_BAD_TOPIC SUB topic name "$" is not valid',
    ),
    "RDY before SUB": (b"RDY 1\n", [], "E_INVALID cannot RDY in current state"),
    "RDY with a letter": (SUB + b"RDY 1x\n", [b"OK"], "E_INVALID RDY could not parse count 1x"),
    "RDY with a sign": (SUB + b"RDY -1\n", [b"OK"], "E_INVALID RDY could not parse count -1"),
    "RDY over the limit": (SUB + b"RDY 51\n", [b"OK"], "E_INVALID RDY count 51 out of range 0-50"),
    "RDY that wraps to a negative number": (
        SUB + b"RDY 18446744073709551615\n",
        [b"OK"],
        "E_INVALID RDY count -1 out of range 0-50",
    ),
    "FIN before SUB": (b"FIN " + ID + b"\n", [], "E_INVALID cannot FIN in current state"),
    "FIN without an id": (SUB + b"FIN\n", [b"OK"], "E_INVALID FIN insufficient number of params"),
    "FIN with a short id": (SUB + b"FIN 123\n", [b"OK"], "E_INVALID invalid message ID"),
    "FIN with a long id": (SUB + b"FIN " + ID + b"0\n", [b"OK"], "E_INVALID invalid message ID"),
    "REQ before SUB": (b"REQ " + ID + b" 0\n", [], "E_INVALID cannot REQ in current state"),
    "REQ without a delay": (
        SUB + b"REQ " + ID + b"\n",
        [b"OK"],
        "E_INVALID REQ insufficient number of params",
    ),
    "REQ with a short id": (SUB + b"REQ 1 x\n", [b"OK"], "E_INVALID invalid message ID"),
    "REQ with a bad delay": (
        SUB + b"REQ " + ID + b" 1s\n",
        [b"OK"],
        "E_INVALID REQ could not parse timeout 1s",
    ),
    "TOUCH before SUB": (b"TOUCH " + ID + b"\n", [], "E_INVALID cannot TOUCH in current state"),
    "TOUCH without an id": (SUB + b"TOUCH\n", [b"OK"], "E_INVALID TOUCH insufficient number of params"),
    "TOUCH with a short id": (SUB + b"TOUCH 1\n", [b"OK"], "E_INVALID invalid message ID"),
    "CLS before SUB": (b"CLS\n", [], "E_INVALID cannot CLS in current state"),
    "CLS behind CLS": (CLS + b"CLS\n", [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot CLS in current state"),
    "PUB without a topic": (b"PUB\n", [], "E_INVALID PUB insufficient number of parameters"),
    "PUB to a bad topic": (b"PUB t$\n", [], 'E_BAD_TOPIC PUB topic name "t$" is not valid'),
    "PUB to a topic with a long name": (
        b"PUB " + b"t" * 65 + b"\n",
        [],
        f'E_BAD_TOPIC PUB topic name "{"t" * 65}" is not valid',
    ),
    "PUB of nothing": (b"PUB t\n" + i32(0), [], "E_BAD_MESSAGE PUB invalid message body size 0"),
    "PUB of less than nothing": (b"PUB t\n" + i32(-1), [], "E_BAD_MESSAGE PUB invalid message body size -1"),
    "PUB of a message that is too long": (
        b"PUB t\n" + i32(101),
        [],
        "E_BAD_MESSAGE PUB message too big 101 > 100",
    ),
    "MPUB without a topic": (b"MPUB\n", [], "E_INVALID MPUB insufficient number of parameters"),
    "MPUB to a bad topic": (
        b"MPUB #\n",
        [],
        'E_BAD_TOPIC E_BAD_TOPIC MPUB topic name "#" is not valid',
    ),
    "MPUB of no bytes": (b"MPUB t\n" + i32(0), [], "E_BAD_BODY MPUB invalid body size 0"),
    "MPUB of fewer bytes than none": (b"MPUB t\n" + i32(-5), [], "E_BAD_BODY MPUB invalid body size -5"),
    "MPUB of too many bytes": (b"MPUB t\n" + i32(1001), [], "E_BAD_BODY MPUB body too big 1001 > 1000"),
    "MPUB of no messages": (
        b"MPUB t\n" + i32(4) + i32(0),
        [],
        "E_BAD_BODY MPUB invalid message count 0",
    ),
    "MPUB of more messages than a body has room for": (
        b"MPUB t\n" + i32(4) + i32(200),
        [],
        "E_BAD_BODY MPUB invalid message count 200",
    ),
    "MPUB of an empty message": (
        encode_mpub("t", [b"a", b"", b"c"]),
        [],
        "E_BAD_MESSAGE MPUB invalid message(1) body size 0",
    ),
    "MPUB of a message of negative length": (
        b"MPUB t\n" + i32(8) + i32(1) + i32(-2),
        [],
        "E_BAD_MESSAGE MPUB invalid message(0) body size -2",
    ),
    "MPUB of a message that is too long": (
        encode_mpub("t", [b"a", b"b" * 101]),
        [],
        "E_BAD_MESSAGE MPUB message too big 101 > 100",
    ),
    "DPUB without a delay": (b"DPUB t\n", [], "E_INVALID DPUB insufficient number of parameters"),
    "DPUB to a bad topic": (b"DPUB \x7f 0\n", [], 'E_BAD_TOPIC DPUB topic name "\\x7f" is not valid'),
    "DPUB with a bad delay": (b"DPUB t 5.5\n", [], "E_INVALID DPUB could not parse timeout 5.5"),
    "DPUB over the limit": (b"DPUB t 10001\n", [], "E_INVALID DPUB timeout 10001 out of range 0-10000"),
    "DPUB with a delay that wraps": (
        b"DPUB t 18446744073709551615\n",
        [],
        "E_INVALID DPUB timeout 18446744073709551615 out of range 0-10000",
    ),
    "DPUB of nothing": (b"DPUB t 1\n" + i32(0), [], "E_BAD_MESSAGE DPUB invalid message body size 0"),
    "DPUB of a message that is too long": (
        b"DPUB t 1\n" + i32(200),
        [],
        "E_BAD_MESSAGE DPUB message too big 200 > 100",
    ),
    "AUTH with an empty parameter": (b"AUTH \n", [], "E_INVALID AUTH invalid number of parameters"),
    "AUTH of fewer bytes than none": (b"AUTH\n" + i32(-1), [], "E_BAD_BODY AUTH invalid body size -1"),
    "the state comes before the parameters of AUTH": (
        SUB + b"AUTH x\n",
        [b"OK"],
        "E_INVALID cannot AUTH in current state",
    ),
    "IDENTIFY of a list": (identify("[]"), [], "E_BAD_BODY IDENTIFY failed to decode JSON body"),
    "IDENTIFY with a number for a text": (
        identify('{"client_id":1}'),
        [],
        "E_BAD_BODY IDENTIFY failed to decode JSON body",
    ),
    "IDENTIFY with a fraction": (
        identify('{"msg_timeout":1000.0}'),
        [],
        "E_BAD_BODY IDENTIFY failed to decode JSON body",
    ),
    "IDENTIFY with a heartbeat interval over the limit": (
        identify('{"heartbeat_interval":60001}'),
        [],
        "E_BAD_BODY IDENTIFY heartbeat interval (60001) is invalid",
    ),
    "IDENTIFY with a bad output buffer timeout": (
        identify('{"output_buffer_timeout":24}'),
        [],
        "E_BAD_BODY IDENTIFY output buffer timeout (24) is invalid",
    ),
    "IDENTIFY with a bad output buffer size": (
        identify('{"output_buffer_size":63}'),
        [],
        "E_BAD_BODY IDENTIFY output buffer size (63) is invalid",
    ),
    "IDENTIFY with a bad sample rate": (
        identify('{"sample_rate":100}'),
        [],
        "E_BAD_BODY IDENTIFY sample rate (100) is invalid",
    ),
    "IDENTIFY with a bad message timeout": (
        identify('{"msg_timeout":-1}'),
        [],
        "E_BAD_BODY IDENTIFY msg timeout (-1) is invalid",
    ),
    "IDENTIFY names the first bad value in the order of its checks": (
        identify('{"msg_timeout":1,"sample_rate":100,"output_buffer_size":1,"heartbeat_interval":-2}'),
        [],
        "E_BAD_BODY IDENTIFY heartbeat interval (-2) is invalid",
    ),
    "heartbeats come before the parameters of SUB": (
        identify('{"heartbeat_interval":-1}') + b"SUB\n",
        [b"OK"],
        "E_INVALID cannot SUB with heartbeats disabled",
    ),
    "SUB without parameters": (b"SUB\n", [], "E_INVALID SUB insufficient number of parameters"),
    "SUB to a channel with a long name": (
        b"SUB t " + b"c" * 65 + b"\n",
        [],
        f'E_BAD_CHANNEL SUB channel name "{"c" * 65}" is not valid',
    ),
    "SUB to a channel with two ephemeral marks": (
        b"SUB t c#ephemeral#ephemeral\n",
        [],
        'E_BAD_CHANNEL SUB channel name "c#ephemeral#ephemeral" is not valid',
    ),
    "SUB with two blanks": (b"SUB  t c\n", [], 'E_BAD_TOPIC SUB topic name "" is not valid'),
    "FIN with two blanks": (SUB + b"FIN  " + ID + b"\n", [b"OK"], "E_INVALID invalid message ID"),
    "REQ without anything": (SUB + b"REQ\n", [b"OK"], "E_INVALID REQ insufficient number of params"),
    "REQ with a sign": (
        SUB + b"REQ " + ID + b" -1\n",
        [b"OK"],
        "E_INVALID REQ could not parse timeout -1",
    ),
    "RDY with a fraction": (SUB + b"RDY 1.5\n", [b"OK"], "E_INVALID RDY could not parse count 1.5"),
    "PUB of the least length": (
        b"PUB t\n" + i32(-(1 << 31)),
        [],
        "E_BAD_MESSAGE PUB invalid message body size -2147483648",
    ),
    "PUB to a name that is no text": (
        b"PUB \xff\x00\n",
        [],
        'E_BAD_TOPIC PUB topic name "\\xff\\x00" is not valid',
    ),
    "MPUB of a negative count": (
        b"MPUB t\n" + i32(100) + i32(-1),
        [],
        "E_BAD_BODY MPUB invalid message count -1",
    ),
    "MPUB of a smaller total, longer than any may be": (
        b"MPUB t\n" + i32(100) + encode_batch([b"x" * 100] * 10),
        [],
        "E_BAD_BODY MPUB body too big 1044 > 1000",
    ),
    "MPUB with a wrong first length, the rest not sent": (
        b"MPUB t\n" + i32(100) + i32(2) + i32(0),
        [],
        "E_BAD_MESSAGE MPUB invalid message(0) body size 0",
    ),
    "MPUB with a wrong second length, the rest not sent": (
        b"MPUB t\n" + i32(100) + i32(2) + i32(1) + b"a" + i32(-1),
        [],
        "E_BAD_MESSAGE MPUB invalid message(1) body size -1",
    ),
    "MPUB with a message that is too long, the rest not sent": (
        b"MPUB t\n" + i32(900) + i32(1) + i32(101),
        [],
        "E_BAD_MESSAGE MPUB message too big 101 > 100",
    ),
    "DPUB without anything": (b"DPUB\n", [], "E_INVALID DPUB insufficient number of parameters"),
    "DPUB with a sign": (b"DPUB t -1\n", [], "E_INVALID DPUB could not parse timeout -1"),
    "a bad topic comes before a bad delay": (
        b"DPUB a/b x\n",
        [],
        'E_BAD_TOPIC DPUB topic name "a/b" is not valid',
    ),
    "DPUB of less than nothing": (
        b"DPUB t 1\n" + i32(-9),
        [],
        "E_BAD_MESSAGE DPUB invalid message body size -9",
    ),
}

_NAME = "n" * 64
_NEGOTIATED = (
    b'{"max_rdy_count":50,"version":"1.3.0","max_msg_timeout":900000,"msg_timeout":1000,"tls_v1":false,'
    b'"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":99,'
    b'"auth_required":false,"output_buffer_size":1,"output_buffer_timeout":0,"topology_region":"",'
    b'"topology_zone":""}'
)
_MISSED = ID.decode()

# (what is sent, all that is answered; the connection lives)
ACCEPTED: dict[str, tuple[bytes, list[bytes]]] = {
    "nothing": (b"", []),
    "NOP": (b"NOP\n", []),
    "NOP with words and a carriage return": (b"NOP a b\r\n", []),
    "IDENTIFY of an empty object": (identify("{}"), [b"OK"]),
    "IDENTIFY of null": (identify("null"), [b"OK"]),
    "IDENTIFY of the longest body": (identify("{" + " " * 998 + "}"), [b"OK"]),
    "IDENTIFY again": (identify("{}") * 2, [b"OK", b"OK"]),
    "IDENTIFY with unknown keys and null": (identify('{"x":[],"client_id":null}'), [b"OK"]),
    "IDENTIFY with everything at its limit": (
        identify(
            '{"feature_negotiation":true,"heartbeat_interval":1000,"output_buffer_size":-1,'
            '"output_buffer_timeout":30000,"sample_rate":99,"msg_timeout":1000}'
        ),
        [_NEGOTIATED],
    ),
    "IDENTIFY with keys in any letter case": (
        identify(
            '{"FEATURE_NEGOTIATION":true,"Heartbeat_Interval":60000,"output_buffer_size":-1,'
            '"\u017fample_rate":99,"MSG_TIMEOUT":1000}'.replace("\u017f", "\\u017f")
        ),
        [_NEGOTIATED],
    ),
    "SUB": (SUB, [b"OK"]),
    "SUB with more words": (b"SUB t c d e\n", [b"OK"]),
    "SUB with the longest names": (f"SUB {_NAME} {_NAME}\n".encode(), [b"OK"]),
    "SUB to what is ephemeral": (b"SUB t#ephemeral c#ephemeral\n", [b"OK"]),
    "SUB with all kinds of characters": (b"SUB ._-aZ09 .\n", [b"OK"]),
    "RDY of none, of the most, and in other spellings": (
        SUB + b"RDY 0\nRDY 50\nRDY\nRDY \nRDY 007\nRDY 1 2\nRDY 18446744073709551617\n",
        [b"OK"],
    ),
    "RDY behind CLS, whatever it says": (CLS + b"RDY x\nRDY 51\n", [b"OK", b"CLOSE_WAIT"]),
    "CLS with words": (SUB + b"CLS now\n", [b"OK", b"CLOSE_WAIT"]),
    "PUB of one byte": (b"PUB t\n" + i32(1) + b"\0", [b"OK"]),
    "PUB of the longest message": (b"PUB t\n" + i32(100) + b"x" * 100, [b"OK"]),
    "PUB with more words": (b"PUB t u\r\n" + i32(1) + b"x", [b"OK"]),
    "PUB of what looks like commands": (b"PUB t\n" + i32(8) + b"\nCLS\nFIN", [b"OK"]),
    "PUBs behind one another": ((b"PUB t\n" + i32(1) + b"x") * 3, [b"OK"] * 3),
    "MPUB of one message": (encode_mpub("t", [b"x"]), [b"OK"]),
    "MPUB of a full body": (encode_mpub("t", [b"x" * 100] * 9 + [b"y" * 56]), [b"OK"]),
    "MPUB of the most messages": (encode_mpub("t", [b"x"] * 199), [b"OK"]),
    "MPUB of a larger total than its messages have": (
        b"MPUB t\n" + i32(900) + encode_batch([b"a", b"b"]),
        [b"OK"],
    ),
    "MPUB of a larger total, commands behind it": (
        (b"MPUB t\n" + i32(50) + encode_batch([b"a"]) + b"NOP\n") * 10,
        [b"OK"] * 10,
    ),
    "MPUB of a smaller total than its messages have": (
        (b"MPUB t\n" + i32(10) + encode_batch([b"a", b"bcd"])) * 3,
        [b"OK"] * 3,
    ),
    "MPUB of a total without the lengths": (b"MPUB t\n" + i32(3) + encode_batch([b"a"] * 3), [b"OK"]),
    "DPUB without delay": (b"DPUB t 0\n" + i32(1) + b"x", [b"OK"]),
    "DPUB with an empty delay": (b"DPUB t \n" + i32(1) + b"x", [b"OK"]),
    "DPUB with the longest delay": (b"DPUB t 00010000 ms\n" + i32(100) + b"x" * 100, [b"OK"]),
    "DPUB with a delay that wraps to none": (b"DPUB t 18446744073709551616\n" + i32(1) + b"x", [b"OK"]),
    **{
        f"{command} of a message that nobody holds": (
            SUB + f"{command} {_MISSED}{delay}\n".encode(),
            [b"OK", f"E_{command}_FAILED {command} {_MISSED} failed ID not in flight".encode()],
        )
        for command, delay in (("FIN", ""), ("REQ", " 0"), ("TOUCH", ""))
    },
    "REQ with a delay beyond all limits": (
        SUB + b"REQ " + ID + b" 18446744073709551615\n",
        [b"OK", f"E_REQ_FAILED REQ {_MISSED} failed ID not in flight".encode()],
    ),
    "FIN of an id of any bytes": (
        SUB + b"FIN " + b"\xff" * 16 + b"\n",
        [b"OK", b"E_FIN_FAILED FIN " + b"\xff" * 16 + b" failed ID not in flight"],
    ),
    "FIN behind CLS": (
        CLS + b"FIN " + ID + b"\n",
        [b"OK", b"CLOSE_WAIT", f"E_FIN_FAILED FIN {_MISSED} failed ID not in flight".encode()],
    ),
}
