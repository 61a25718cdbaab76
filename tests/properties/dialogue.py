"""What a client says: the bytes for the broker, and what they must lead to, for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nsqcore.wire.commands import (
    CLS,
    NOP,
    encode_dpub,
    encode_fin,
    encode_identify,
    encode_mpub,
    encode_pub,
    encode_rdy,
    encode_req,
    encode_sub,
    encode_touch,
)
from nsqcore.wire.frames import WireMessage
from tests.properties.broker_model import NEVER, ClientModel, Model

MSG_TIMEOUT_S, MOST_DELAY_MS = 2.0, 4000
"""What the broker is started with."""
STATES = {"RDY": (3, 4), "CLS": (3,), "NOP": (0, 3, 4), "FIN": (3, 4), "REQ": (3, 4), "TOUCH": (3, 4)}
"""In which a verb is allowed; IDENTIFY and SUB in 0 only."""


@dataclass(frozen=True)
class Command:
    """One command, as far as it does not depend on what happened before."""

    verb: str
    topic: str = "t"
    channel: str = "c"
    number: int = 0
    """RDY count, delay in ms, message time-out in ms; of a FIN: 1 for a line that ends as on Windows."""
    sizes: tuple[int, ...] = (1,)
    message: int = 0
    """Which of the messages that are known: numbers below 10 are of those that the client holds, 20 is none."""


class Dialogue:
    """Knows which messages there were. A message's key in the model is its body."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.key_of: dict[bytes, str] = {}
        """By id, of each message that was delivered."""
        self._stamps: dict[str, tuple[bytes, int]] = {}
        self._published = 0

    def heard(self, message: WireMessage) -> str:
        """A message was delivered: its key. It never changes its id or timestamp, and shares neither id."""
        key = message.body.decode()
        if key not in self._stamps:
            assert message.id not in self.key_of, f"{key} has the id of another message"
            self._stamps[key] = (message.id, message.timestamp)
            self.key_of[message.id] = key
        assert (message.id, message.timestamp) == self._stamps[key], f"{key} changed its id or timestamp"
        return key

    def say(self, client: ClientModel, commands: Sequence[Command], now: float) -> bytes:
        """What to send; the model does it, up to an error that ends the connection."""
        data = b""
        for (verb, topic), run in groupby(commands, lambda command: (command.verb, command.topic)):
            if verb == "PUB":  # PUBs to one topic in a row are published together
                sizes = tuple(size for command in run for size in command.sizes)
                run = iter([Command("PUB", topic, sizes=sizes)])
            for command in run:
                if verb in ("PUB", "MPUB", "DPUB"):
                    data += self._publish(client, command, now)
                elif verb in ("FIN", "REQ", "TOUCH"):
                    data += self._on_message(client, command, now)
                else:
                    data += self._about_itself(client, command)
        return data

    def _may(self, client: ClientModel, verb: str) -> bool:
        """Whether the model goes on with this command; words the error if there is one."""
        if client.doomed:
            return False
        if client.state in STATES.get(verb, (0,)):
            return True
        self._doom(client, f"E_INVALID cannot {verb} in current state")
        return False

    def _doom(self, client: ClientModel, error: str) -> None:
        client.answers.append(b"!" + error.encode())
        client.doomed = True

    def _about_itself(self, client: ClientModel, command: Command) -> bytes:
        verb = command.verb
        if verb == "BOGUS":
            if not client.doomed:
                self._doom(client, "E_INVALID invalid command BOGUS")
            return b"BOGUS\n"
        if self._may(client, verb):
            if verb == "IDENTIFY":
                client.timeout = (command.number or MSG_TIMEOUT_S * 1000) / 1000
                client.answers.append(b"OK")
            elif verb == "SUB":
                client.channel = self.model.channel(self.model.topic(command.topic), command.channel)
                client.channel.clients.append(client)
                client.state = 3
                client.answers.append(b"OK")
            elif verb == "RDY":
                client.ready = command.number if client.state == 3 else client.ready
            elif verb == "CLS":
                client.state, client.ready = 4, 0
                client.answers.append(b"CLOSE_WAIT")
        return {
            "IDENTIFY": encode_identify({"msg_timeout": command.number}),
            "SUB": encode_sub(command.topic, command.channel),
            "RDY": encode_rdy(command.number),
            "CLS": CLS,
            "NOP": NOP,
        }[verb]

    def _publish(self, client: ClientModel, command: Command, now: float) -> bytes:
        verb, topic, delay_ms = command.verb, command.topic, command.number
        keys = []
        for size in command.sizes:
            self._published += 1
            key = f"{self._published}".ljust(size, ".")
            keys.append(key)
            self.model.sizes[key] = len(key)
        bodies = [key.encode() for key in keys]
        if not client.doomed:
            if verb == "DPUB" and delay_ms > MOST_DELAY_MS:
                self._doom(client, f"E_INVALID DPUB timeout {delay_ms} out of range 0-{MOST_DELAY_MS}")
            else:
                if verb == "DPUB" and delay_ms:
                    self.model.defer(topic, keys[0], now + delay_ms / 1000)
                else:
                    self.model.publish(topic, keys)
                client.answers += [b"OK"] * (len(keys) if verb == "PUB" else 1)
                client.published[topic] = client.published.get(topic, 0) + len(keys)
        if verb == "DPUB":
            return encode_dpub(topic, delay_ms, bodies[0])
        if verb == "MPUB":
            return encode_mpub(topic, bodies)
        return b"".join(encode_pub(topic, body) for body in bodies)

    def _on_message(self, client: ClientModel, command: Command, now: float) -> bytes:
        verb, model = command.verb, self.model
        message_id = self._choose(client, command.message)
        key = self.key_of.get(message_id)
        if self._may(client, verb):
            why = model.why_not_held(client, key)
            if why is not None or key is None:
                client.answers.append(f"!E_{verb}_FAILED {verb} {message_id.decode()} failed {why}".encode())
            elif verb == "FIN":
                model.finish(client, key)
            elif verb == "TOUCH":
                model.touch(client, key, now)
            else:  # a number with the highest bit set is taken for a negative one
                delay_ms = min(command.number, MOST_DELAY_MS) if command.number < 1 << 63 else 0
                model.requeue(client, key, now + delay_ms / 1000 if delay_ms else None)
        if verb == "REQ":
            return encode_req(message_id, command.number)
        if verb == "TOUCH":
            return encode_touch(message_id)
        return b"FIN %b\r\n" % message_id if command.number else encode_fin(message_id)

    def _choose(self, client: ClientModel, number: int) -> bytes:
        held = [] if client.channel is None else [
            self._stamps[key][0] for key, flight in client.channel.flights.items() if flight.client is client
        ]  # fmt: skip
        choice = held if held and number < 10 else [*self.key_of] or [NEVER]
        return NEVER if number == 20 else choice[number % len(choice)]
