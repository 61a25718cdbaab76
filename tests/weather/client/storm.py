"""Random weather over a cluster in memory, with time that moves by itself: a seed tells all of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from nsqclient import (
    Backoff,
    Batch,
    Closed,
    ConnectionOptions,
    Consumer,
    Drop,
    Failures,
    FlowControl,
    FullJitter,
    Leases,
    LinearRequeue,
    Message,
    MessageBatch,
    Producer,
    Retry,
    RetryPolicy,
    SubscribeRefused,
)
from nsqclient.testing import FakeCluster
from nsqclient.testing.node import FakeNode
from nsqclient.testing.queues import Entry
from nsqclient.testing.session import Session
from tests.weather.client.ledger import Ledger, tasks_of_ours

Refusals = (Closed, SubscribeRefused)
STEPS = 60
HOURS = 3600.0


class Audit:
    """Deliveries and answers of each connection, by message."""

    def __init__(self) -> None:
        self.delivered: Counter[tuple[int, str]] = Counter()
        self.answered: Counter[tuple[int, str]] = Counter()
        self._sessions: list[Session] = []
        """Kept, so that no two have one id()."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears all fake nsqds meanwhile."""
        deliver, note = Session.deliver, Session._note
        audit = self

        def delivering(session: Session, entry: Entry) -> None:
            audit._sessions.append(session)
            audit.delivered[id(session), entry.id] += 1
            deliver(session, entry)

        def noting(session: Session, command: str) -> None:
            verb, _, rest = command.partition(" ")
            if verb in ("FIN", "REQ"):
                audit.answered[id(session), rest.split(" ")[0]] += 1
            note(session, command)

        with patch.object(Session, "deliver", delivering), patch.object(Session, "_note", noting):
            yield

    def check(self) -> None:
        """No connection saw more answers than deliveries."""
        twice = {key for key, count in self.answered.items() if count > self.delivered[key]}
        assert not twice, f"answered twice: {twice}"


class Storm:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.audit = Audit()
        self.lost: set[bytes] = set()
        self.log: list[str] = []
        chance = self.chance
        self.on_unknown = chance.choice(["raise", "retry"])
        self.cluster = FakeCluster(
            nodes=chance.randint(1, 4),
            frozen=True,
            msg_timeout=chance.choice([5.0, 60.0]),
            max_msg_timeout=chance.choice([20.0, 900.0]),
            hand_back=chance.random() < 0.5,
        )
        self.publishing: list[asyncio.Task[None]] = []
        self.working: list[asyncio.Task[None]] = []
        self.consumers: list[Consumer] = []
        self.calm = False
        self.batched = chance.random() < 0.4

    async def run(self) -> None:
        """All of it; raises AssertionError when a promise is broken."""
        with self.audit.listening():
            async with self.cluster:
                await self._live()
        self.ledger.check(self.lost)
        self.audit.check()
        left = tasks_of_ours()
        assert not left, f"tasks are left: {left}"

    async def _live(self) -> None:
        chance = self.chance
        producer = Producer(
            self.cluster,
            options=self._options(),
            retry=RetryPolicy(backoff=FullJitter(0.05, cap=2.0), on_unknown=self.on_unknown),  # type: ignore[arg-type]
            batch=Batch(linger=0.01, max_messages=5) if self.batched else None,
            reports="all",
            timeout=chance.choice([2.0, 10.0, 60.0]),
            max_pending=chance.choice([3, 10_000]),
            chance=chance.random,
        )
        await producer.__aenter__()
        listening = asyncio.create_task(self.ledger.listen(producer))
        for _ in range(chance.randint(1, 2)):
            await self._join()
        for _ in range(STEPS):
            await self._step(producer)
        await self._clear_up(producer)
        await self._in_time(producer.close())
        await self._in_time(asyncio.wait(self.publishing)) if self.publishing else None
        await self._in_time(listening)
        self._check_counts(producer)

    async def _clear_up(self, producer: Producer) -> None:
        """Good weather at last: all that is stored must come through."""
        self.calm = True
        for node in self.cluster.nodes:
            _heal(node)
            node.start()
        for consumer in self.consumers:
            consumer.resume()
            consumer.set_max_in_flight(20)
        await self.cluster.clock.advance(120)
        for consumer, task in zip(self.consumers, self.working, strict=True):
            assert consumer.health().ready or task.done(), f"it neither works nor ends: {consumer} {task}"
        if all(task.done() for task in self.working):
            await self._join()
            self.consumers[-1].set_max_in_flight(20)
        if self.publishing:
            await self._in_time(asyncio.wait(self.publishing))
        for _ in range(400):
            await self.cluster.clock.advance(30)
            if self._at_rest():
                break
        else:
            raise AssertionError(f"messages do not come through: {self._state()}")
        await self.cluster.clock.advance(30)
        for consumer in self.consumers:
            assert consumer.closed or not consumer.stats.in_flight, f"held by nobody: {consumer.stats}"
        for consumer, task in zip(self.consumers, self.working, strict=True):
            assert consumer.closed or not task.done(), f"it ended by itself: {task}"
        await self._in_time(asyncio.gather(*(consumer.close(5) for consumer in self.consumers)))
        for task in self.working:
            await self._in_time(asyncio.wait([task]))
            if not task.cancelled():
                assert task.exception() is None, task

    def _at_rest(self) -> bool:
        cluster = self.cluster
        return not (cluster.depth("t", "c") + cluster.in_flight("t", "c") + cluster.deferred("t", "c"))

    def _state(self) -> str:
        cluster = self.cluster
        counts = cluster.depth("t", "c"), cluster.in_flight("t", "c"), cluster.deferred("t", "c")
        return f"{counts} {cluster} {[consumer.stats for consumer in self.consumers]}"

    def _check_counts(self, producer: Producer) -> None:
        ledger, stats = self.ledger, producer.stats
        assert stats.pending == stats.pending_bytes == 0, stats
        published = Counter(self.cluster.published("t"))
        assert not ledger.absent & published.keys(), "said not to be stored, and stored"
        assert ledger.stored.keys() <= published.keys(), "said to be stored, and not"
        if self.on_unknown == "raise":
            assert not [body for body, count in published.items() if count > 1], "stored twice"
        total = stats.stored + stats.rejected + stats.not_sent + stats.unknown
        assert total == ledger.calls, (stats, ledger.calls)

    async def _in_time(self, work: Any) -> None:
        """Waits for it while time goes on, for an hour at most."""
        task = asyncio.ensure_future(work)
        for _ in range(int(HOURS / 5)):
            await self.cluster.clock.settle()
            if task.done():
                await task
                return
            await self.cluster.clock.advance(5)
        raise AssertionError(f"it hangs: {task}; {self._state()}")

    # ---- what happens

    async def _step(self, producer: Producer) -> None:
        chance = self.chance
        kind = chance.choices(
            [self._publish, self._fault, self._consume, self._cancel, self._pass], [8, 4, 2, 1, 5]
        )[0]
        await kind(producer)
        if chance.random() < 0.5:
            for _ in range(chance.randint(0, 12)):
                await asyncio.sleep(0)
        else:
            await self.cluster.clock.settle()

    async def _pass(self, producer: Producer) -> None:
        await self.cluster.clock.advance(self.chance.choice([0.01, 0.5, 3.0, 10.0, 40.0]))

    async def _publish(self, producer: Producer) -> None:
        chance, ledger = self.chance, self.ledger
        for _ in range(chance.randint(1, 6)):
            kind = chance.randrange(4)
            if kind == 0:
                bodies = ledger.bodies(chance.randint(1, 5))
                call = producer.publish_many("t", bodies)
            elif kind == 1:
                (body,) = ledger.bodies()
                try:
                    producer.submit_nowait("t", body, note=body)
                except Exception:  # noqa: BLE001 - no room; whatever else it is shows in the counts
                    ledger.note([body], outcome="not_sent")
                ledger.calls += 1
                continue
            else:
                bodies = ledger.bodies()
                delay = chance.choice([None, None, None, 3.0])
                call = producer.publish("t", bodies[0], delay=delay)
            self.publishing.append(asyncio.create_task(ledger.record(bodies, call)))

    async def _cancel(self, producer: Producer) -> None:
        await asyncio.sleep(0)  # what has not begun can't tell
        there = [task for task in self.publishing if not task.done()]
        for task in self.chance.sample(there, min(len(there), 3)):
            task.cancel()

    async def _fault(self, producer: Producer) -> None:
        chance = self.chance
        node = chance.choice(self.cluster.nodes)
        name = chance.choice(
            [
                "stop",
                "start",
                "kill",
                "pause",
                "resume",
                "drop_connections",
                "half_open",
                "unreachable",
                "delay",
                "throttle",
                "deaf",
                "refuse_pub",
                "refuse_answer",
                "refuse_sub",
                "heal",
                "heal",
                "heal",
                "start",
            ]
        )
        self.log.append(f"{name} {node.address}")
        if name == "kill":
            self.lost |= held(node)
            node.kill()
        elif name == "delay":
            node.delay(chance.choice([0.1, 3.0]))
        elif name == "heal":
            _heal(node)
        elif name == "throttle":
            node.throttle(chance.choice([50, 1000]))
        elif name == "deaf":
            node.drop_replies()
        elif name == "refuse_pub":
            node.refuse(chance.choice(["PUB", "MPUB"]), "E_PUB_FAILED PUB failed no", times=2)
        elif name == "refuse_answer":
            verb = chance.choice(["FIN", "REQ", "TOUCH"])
            node.refuse(verb, f"E_{verb}_FAILED {verb} * failed ID not in flight", times=3)
        elif name == "refuse_sub":
            node.refuse("SUB", "E_SUB_FAILED SUB failed consumers exceed limit", times=2)
        else:
            getattr(node, name)()

    # ---- consumers

    def _options(self) -> ConnectionOptions:
        return ConnectionOptions(heartbeat=self.chance.choice([1.0, 30.0]), read_timeout=65)

    async def _join(self) -> None:
        chance = self.chance
        backoff = Backoff(multiplier=0.5, max_duration=4, scope=chance.choice(["consumer", "node"]))
        consumer = Consumer(
            "t",
            "c",
            self.cluster,
            options=self._options(),
            max_in_flight=chance.choice([1, 3, 10, 100]),
            flow=FlowControl(
                spread=chance.choice(["fair", "eager"]),
                backoff=chance.choice([None, backoff]),
                rate=chance.choice([None, None, 20.0]),
            ),
            failures=Failures(attempts=0, requeue=LinearRequeue(1, cap=20)),
            leases=Leases(auto_touch=chance.random() < 0.3),
            drain=chance.choice([0, 5]),
            chance=chance.random,
        )
        work = chance.choice([self._iterate, self._handle, self._batch, self._get])
        self.consumers.append(consumer)
        self.working.append(asyncio.create_task(self._use(consumer, work)))
        self.log.append(f"join {work.__name__}")
        await self.cluster.clock.settle()

    async def _use(self, consumer: Consumer, work: Any) -> None:
        try:
            async with consumer:
                await work(consumer)
        except Refusals:
            pass

    async def _consume(self, producer: Producer) -> None:
        chance = self.chance
        name = chance.choice(["join", "pause", "resume", "resume", "cap", "stop", "cancel", "close"])
        there = [at for at, task in enumerate(self.working) if not task.done()]
        if name == "join" or not there:
            if len(there) < 3:
                await self._join()
            return
        at = chance.choice(there)
        consumer, task = self.consumers[at], self.working[at]
        self.log.append(f"{name} consumer {at}")
        if name == "cap":
            consumer.set_max_in_flight(chance.choice([0, 1, 2, 50]))
        elif name == "cancel":
            task.cancel()
        elif name == "close":
            self.publishing.append(asyncio.create_task(consumer.close(chance.choice([0, 3]))))
        else:
            getattr(consumer, name)()

    async def _work_on(self, message: Message) -> None:
        chance = self.chance
        for _ in range(chance.randint(0, 2)):
            await asyncio.sleep(chance.choice([0, 0, 0.1, 2.0, 7.0]))
        fate = 1.0 if self.calm else chance.random()
        if fate < 0.05:
            raise LookupError
        if fate < 0.1:
            raise Retry(after=chance.choice([None, 0, 2]), backoff=chance.random() < 0.5)
        if fate < 0.15:
            message.requeue(0, backoff=False)
            return
        if fate < 0.2:
            message.touch()
            await asyncio.sleep(1)
        self.ledger.seen[message.body] += 1
        if fate < 0.25:
            raise Drop("of no use")
        if fate < 0.3:
            message.finish()

    async def _iterate(self, consumer: Consumer) -> None:
        async for message in consumer:
            async with message.contain():
                await self._work_on(message)

    async def _get(self, consumer: Consumer) -> None:
        while True:
            try:
                message = await consumer.get(timeout=self.chance.choice([0, 0.01, 5, 50]))
            except TimeoutError:
                continue
            except Refusals:
                return
            async with message.contain(), message.keep_alive():
                await self._work_on(message)

    async def _handle(self, consumer: Consumer) -> None:
        limit = self.chance.choice([None, 3.0])
        await consumer.run(self._work_on, concurrency=self.chance.randint(1, 5), timeout=limit)

    async def _batch(self, consumer: Consumer) -> None:
        async def handler(batch: MessageBatch) -> None:
            await asyncio.sleep(self.chance.choice([0, 0.5, 6.0]))
            back = [] if self.calm else [at for at in range(len(batch)) if self.chance.random() < 0.1]
            for at, message in enumerate(batch):
                if at not in back:
                    self.ledger.seen[message.body] += 1
            batch.settle(requeue=back)

        await consumer.run_batches(handler, max_messages=4, linger=0.2, concurrency=2)


def _heal(node: FakeNode) -> None:
    if node.faults.unheard:
        node.drop_connections()  # a real stream never goes on behind a gap
    node.heal()


def held(node: FakeNode) -> set[bytes]:
    """The bodies that a nsqd has in memory."""
    found: set[bytes] = set()
    for topic in node.queues.topics.values():
        found |= {entry.body for entry in topic.backlog}
        for channel in topic.channels.values():
            found |= {entry.body for entry in channel.ready}
            found |= {loan.entry.body for loan in channel.in_flight.values()}
            found |= {entry.body for entry, _ in channel.deferred.values()}
    return found
