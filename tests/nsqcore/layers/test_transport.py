"""The transport above a transport, against a socket that is none: order and pace of reading and writing."""

from __future__ import annotations

import os

import pytest

from nsqcore.layers.codec import PIECE
from nsqcore.layers.deflate import Deflate
from nsqcore.layers.snappy import Snappy
from nsqcore.layers.transport import ENCODE_PER_TURN, MOST_REPLIES, RAW_HIGH_WATER, READ_PER_TURN, Layers
from tests.support.layered import Above, Bench, Socket, Tagged, turns

# -- writing ---------------------------------------------------------------------------------------


async def test_what_is_written_in_a_turn_is_encoded_together() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.write(b"1")
    bench.layers.writelines([b"2", bytearray(b"3"), memoryview(b"4")])
    bench.layers.write(b"")
    assert bench.socket.writes == []
    assert bench.layers.get_write_buffer_size() == 4
    await turns()
    assert bench.socket.writes == [b"<a:1234>"]
    bench.layers.write(b"5")
    await turns()
    assert bench.socket.writes == [b"<a:1234>", b"<a:5>"]
    await turns()
    assert len(bench.socket.writes) == 2


async def test_a_buffer_that_is_changed_after_the_write_was_written_as_it_was() -> None:
    bench = Bench(Tagged("a"))
    data = bytearray(b"before")
    bench.layers.write(data)
    data[:] = b"after!"
    await turns()
    assert bench.socket.written == b"<a:before>"


async def test_the_codec_that_was_pushed_last_is_the_outermost() -> None:
    bench = Bench(Tagged("a"), Tagged("b"))
    bench.layers.write(b"x")
    await turns()
    assert bench.socket.written == b"<a:<b:x>>"


async def test_what_was_written_before_a_push_goes_out_without_it() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.write(b"before")
    bench.layers.push(Tagged("b"))
    bench.layers.write(b"behind")
    await turns()
    assert bench.socket.writes == [b"<a:before>", b"<a:<b:behind>>"]


async def test_long_writes_are_encoded_in_slices() -> None:
    bench = Bench(Deflate(6))
    data = os.urandom(3 * ENCODE_PER_TURN + 5)
    bench.layers.write(data)
    for left in (2 * ENCODE_PER_TURN + 5, ENCODE_PER_TURN + 5, 5, 0):
        await turns()
        assert bench.layers.get_write_buffer_size() == left
    assert b"".join(Deflate(6).decode(bench.socket.written)) == data


async def test_what_is_left_of_a_long_write_is_not_copied_at_each_slice() -> None:
    bench = Bench(Tagged("a"))
    data = bytes(range(256)) * 4096
    bench.layers.write(data)
    bench.layers.write(b"behind")
    await turns()
    (rest, behind) = bench.layers._out
    assert isinstance(rest, memoryview)
    assert rest.obj is data
    assert behind == b"behind"
    await turns(20)
    assert b"".join(write[3:-1] for write in bench.socket.writes) == data + b"behind"


async def test_nothing_is_encoded_while_the_socket_is_full() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.pause_writing()
    bench.layers.write(b"x")
    await turns(3)
    assert bench.socket.writes == []
    bench.socket.unsent = 100
    assert bench.layers.get_write_buffer_size() == 101
    bench.layers.resume_writing()
    await turns()
    assert bench.socket.writes == [b"<a:x>"]


async def test_the_protocol_is_told_to_wait_and_to_go_on() -> None:
    bench = Bench(Tagged("a"))
    layers, above = bench.layers, bench.above
    layers.set_write_buffer_limits(high=100, low=10)
    assert layers.get_write_buffer_limits() == (10, 100)
    assert bench.socket.limits[0] == 100
    layers.pause_writing()
    layers.write(b"x" * 100)
    assert not above.is_blocked()
    layers.write(b"x")
    assert above.is_blocked()
    layers.write(b"more, as it is only a wish")
    layers.resume_writing()
    await turns()
    assert not above.is_blocked()


async def test_the_protocol_goes_on_when_the_socket_has_room_too() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.set_write_buffer_limits(high=0)
    bench.layers.write(b"x")
    assert bench.above.is_blocked()
    bench.layers.pause_writing()
    bench.layers.push(Tagged("b"))  # which sends all the same
    await turns()
    assert bench.above.is_blocked()
    bench.layers.resume_writing()
    await turns()
    assert not bench.above.is_blocked()


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ((None, None), (16384, 65536)),
        ((None, 10), (10, 40)),
        ((40, None), (10, 40)),
        ((1 << 30, 0), (0, 1 << 30)),
    ],
)
async def test_limits_have_the_defaults_of_every_transport(
    given: tuple[int | None, int | None], limits: tuple[int, int]
) -> None:
    bench = Bench()
    bench.layers.set_write_buffer_limits(*given)
    assert bench.layers.get_write_buffer_limits() == limits
    assert bench.socket.limits[0] == min(limits[1], RAW_HIGH_WATER)


async def test_limits_that_cross_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="must be >= low"):
        Bench().layers.set_write_buffer_limits(high=1, low=2)


async def test_a_protocol_that_was_blocked_when_the_layers_came_goes_on_when_the_socket_does() -> None:
    socket, above = Socket(), Above()
    above.pause_writing()
    layers = Layers(above)
    layers.take_over(socket, blocked=True)
    layers.push(Tagged("a"))
    layers.write(b"x")
    await turns()
    assert socket.writes == []
    layers.resume_writing()
    await turns()
    assert (socket.written, above.is_blocked()) == (b"<a:x>", False)


# -- reading ---------------------------------------------------------------------------------------


async def test_what_comes_goes_through_all_codecs() -> None:
    bench = Bench(Snappy(), Deflate(6))
    sender = Snappy(), Deflate(6)
    data = sender[0].encode(sender[1].encode(b"hello" * 10_000))
    for at in range(len(data)):
        bench.layers.data_received(data[at : at + 1])
    assert bench.above.heard == b"hello" * 10_000


async def test_a_bomb_takes_turns_and_the_socket_is_not_read_meanwhile() -> None:
    bench = Bench(Deflate(6))
    bench.layers.data_received(Deflate(9).encode(bytes(10 << 20)))
    done = 0
    while done < 10 << 20:
        now = len(bench.above.heard)
        assert 0 < now - done <= READ_PER_TURN + PIECE
        assert now == 10 << 20 or not bench.socket.reading
        done = now
        await turns()
    await turns(3)
    assert (len(bench.above.heard), bench.socket.reading) == (10 << 20, True)


async def test_what_comes_during_a_bomb_comes_behind_it() -> None:
    bench, sender = Bench(Deflate(6)), Deflate(6)
    bench.layers.data_received(sender.encode(bytes(3 << 20)))
    bench.layers.data_received(sender.encode(b"behind"))
    bench.layers.eof_received()
    assert bench.above.eofs == 0
    await turns(5)
    assert bench.above.heard == bytes(3 << 20) + b"behind"
    assert bench.above.eofs == 1


async def test_a_protocol_that_pauses_gets_nothing_until_it_resumes() -> None:
    bench = Bench(Tagged("a"))

    class Pausing(Above):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            bench.layers.pause_reading()

    above = Pausing()
    bench.layers.set_protocol(above)
    assert bench.layers.get_protocol() is above
    bench.layers.data_received(b"123")
    assert (above.heard, bench.socket.reading, bench.layers.is_reading()) == (b"1", False, False)
    bench.layers.data_received(b"4")
    bench.layers.eof_received()
    for heard in (b"12", b"123", b"1234"):
        bench.layers.resume_reading()
        bench.layers.resume_reading()
        await turns(2)
        assert (above.heard, above.eofs) == (heard, 0)
    bench.layers.resume_reading()
    await turns()
    assert above.eofs == 1
    assert bench.socket.reading


async def test_another_protocol_gets_the_next_piece() -> None:
    bench, other = Bench(Tagged("a")), Above()

    class HandingOver(Above):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            bench.layers.set_protocol(other)

    first = HandingOver()
    bench.layers.set_protocol(first)
    bench.layers.data_received(b"123")
    assert (first.heard, other.heard) == (b"1", b"23")


async def test_bytes_behind_a_push_are_decoded_first() -> None:
    bench = Bench(Tagged("a"))

    class Pushing(Above):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"4":
                bench.layers.pause_reading()

    above = Pushing()
    bench.layers.set_protocol(above)
    bench.layers.data_received(b"12345?6")
    assert above.heard == b"1234"
    bench.layers.push(Tagged("b"), behind=b"2?3")
    above.pieces.clear()
    bench.layers.resume_reading()
    await turns()
    assert above.heard == b"2356"
    assert bench.socket.writes == [b"<a:<b:yes>>", b"<a:yes>"]


async def test_replies_go_through_the_codecs_below() -> None:
    bench = Bench(Tagged("a"), Tagged("b"))
    bench.layers._stack._codecs[1]._reply = b"b's"  # type: ignore[attr-defined]
    bench.layers.data_received(b"?x")
    assert bench.socket.writes == [b"<a:yes>", b"<a:<b:b's>>"]


async def test_a_peer_that_wants_replies_and_reads_none_is_cut_off() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.pause_writing()
    bench.socket.unsent = MOST_REPLIES
    bench.layers.data_received(b"?")
    assert not bench.socket.aborted
    bench.socket.unsent += 1
    bench.layers.data_received(b"x")
    assert not bench.socket.aborted
    bench.layers.data_received(b"?")
    assert bench.socket.aborted
