"""Who is connected, what each listens to, and which topics are received for them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable, Mapping

from nsqclient.durations import to_seconds
from nsqclient.push.addressing import users_in_headers, users_in_record
from nsqclient.push.counters import Counters
from nsqclient.push.feeds import Fanout, Feed, Source, Work
from nsqclient.push.grants import Grant
from nsqclient.push.protocol import Auth, Close, Command, Ping, Settle, Subscribe, Unsubscribe, encode
from nsqclient.push.session import Session, Verdict
from nsqclient.push.settings import Settings

LONGEST_STEM = 64 - len("#ephemeral")


def channel_name(node: str) -> str:
    """A channel for one bridge alone: the end is random, for two bridges may have been given one name."""
    end = secrets.token_hex(4)
    stem = re.sub(r"[^.a-zA-Z0-9_-]", "-", f"push-{node}")[: LONGEST_STEM - len(end) - 1]
    return f"{stem}-{end}#ephemeral"


class Full(Exception):
    """No further connection is taken."""

    def __init__(self, code: Close, text: str) -> None:
        super().__init__(text)
        self.code = code


class Hub:
    """Everything of a bridge but its sockets."""

    def __init__(self, source: Source, settings: Settings, counters: Counters) -> None:
        self.settings = settings
        self.counters = counters
        self.channel: str = channel_name(settings.node)
        """From which this bridge receives what is for all bridges."""
        self.sessions: set[Session] = set()
        self.users: dict[str, dict[Session, None]] = {}
        self.feeds: dict[tuple[str, str], Feed] = {}
        """By topic, and channel for work."""
        self.user_feeds: list[Feed] = []
        self._source = source
        self._numbers = 0
        self._lingering: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to receive the user topics."""
        for topic in self.settings.user_topics:
            feed = Fanout(topic, self.channel, self._source, self.settings, self.counters, self._addressed)
            feed.start()
            self.user_feeds.append(feed)

    async def close(self) -> None:
        """Receives no more; what is held goes back."""
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        feeds = [*self.user_feeds, *self.feeds.values()]
        self.feeds.clear()
        self.user_feeds = []
        await asyncio.gather(*(feed.close() for feed in feeds), *self._closing)

    # ---- connections

    def join(self, grant: Grant) -> Session:
        """A connection whose token is good; raises Full."""
        theirs = self.users.get(grant.user, {})
        if len(theirs) >= self.settings.max_connections_per_user:
            raise Full(Close.TOO_MANY, "the user has too many connections")
        self._numbers += 1
        session = Session(self._numbers, grant, self.settings, self.counters)
        self.sessions.add(session)
        self.users.setdefault(grant.user, {})[session] = None
        return session

    def leave(self, session: Session) -> None:
        """A connection is gone: what it holds goes back."""
        self.sessions.discard(session)
        theirs = self.users.get(session.user, {})
        theirs.pop(session, None)
        if not theirs:
            self.users.pop(session.user, None)
        for key in list(session.subscriptions):
            self._unsubscribe(session, key)
        for seq in list(session.outstanding):
            delivery = session.take(seq)
            if delivery is not None:
                delivery.feed.answered(delivery, session, "gone", None)

    def regrant(self, session: Session, grant: Grant) -> bool:
        """A new token for a connection; False when it is another user's. Ends what it does not allow any more."""
        if grant.user != session.user:
            return False
        session.grant = grant
        for topic, channel in list(session.subscriptions):
            if not grant.may_subscribe(topic, channel):
                self._unsubscribe(session, (topic, channel))
                session.tell(encode("unsubscribed", topic=topic, channel=channel, reason="FORBIDDEN"))
        return True

    # ---- commands

    def obey(self, session: Session, command: Command) -> None:
        """Does what a browser asks, all but ``auth``, which has to ask elsewhere, and :meth:`settle`."""
        match command:
            case Subscribe():
                self._subscribe(session, command)
            case Unsubscribe(topic, channel, ref):
                if (topic, channel) in session.subscriptions:
                    self._unsubscribe(session, (topic, channel))
                session.tell(encode("unsubscribed", topic=topic, channel=channel, ref=ref))
            case Ping(ref):
                session.tell(encode("pong", ref=ref))
            case Auth() | Settle():
                raise AssertionError("the socket's business, and settle()'s")

    def settle(self, session: Session, command: Settle) -> bool:
        """Takes answers; whether at least one was to a message that is outstanding, which it no longer is."""
        settled = False
        for seq in command.seqs:
            if command.verb == "touch":
                outstanding = session.outstanding.get(seq)
                if outstanding is not None:
                    session.timeouts = 0
                    outstanding.delivery.feed.touched(outstanding.delivery)
                continue
            delivery = session.take(seq)
            if delivery is not None:  # else its time was over, and it comes again or has been dealt with
                session.timeouts = 0
                verdict: Verdict = "ack" if command.verb == "ack" else "nack"
                delivery.feed.answered(delivery, session, verdict, command.delay)
                settled = True
        return settled

    def _subscribe(self, session: Session, command: Subscribe) -> None:
        topic, channel, ref = command.topic, command.channel, command.ref
        key = (topic, channel)

        def refuse(code: str, text: str) -> None:
            session.tell(encode("error", code=code, text=text, topic=topic, channel=channel, ref=ref))

        if topic in self.settings.user_topics or not session.grant.may_subscribe(topic, channel):
            refuse("FORBIDDEN", "the token does not allow it")
            return
        if channel.endswith("#ephemeral"):
            refuse("FORBIDDEN", "work can't be shared on an ephemeral channel")
            return
        if key not in session.subscriptions and len(session.subscriptions) >= self.settings.max_subscriptions:
            refuse("TOO_MANY", f"a connection has at most {self.settings.max_subscriptions} subscriptions")
            return
        if key not in self.feeds and len(self.feeds) + len(self._closing) >= self.settings.max_topics:
            refuse("UNAVAILABLE", "too many topics are subscribed to")
            return
        feed = self._feed(key)
        session.subscriptions[key] = feed
        feed.join(session, command.max)

        def opened(error: Exception | None) -> None:
            if session.subscriptions.get(key) is not feed:
                return
            if error is None:
                session.tell(encode("subscribed", topic=topic, channel=channel, ref=ref))
            else:
                self._unsubscribe(session, key)
                refuse("UNAVAILABLE", "the topic can't be received at present")

        feed.when_open(opened)

    def _feed(self, key: tuple[str, str]) -> Feed:
        timer = self._lingering.pop(key, None)
        if timer is not None:
            timer.cancel()
        feed = self.feeds.get(key)
        if feed is None:
            topic, channel = key
            if channel:
                feed = Work(topic, channel, self._source, self.settings, self.counters)
            else:
                feed = Fanout(topic, self.channel, self._source, self.settings, self.counters)
            feed.start()
            self.feeds[key] = feed
        return feed

    def _unsubscribe(self, session: Session, key: tuple[str, str]) -> None:
        feed = session.subscriptions.pop(key)
        feed.leave(session)
        current = self.feeds.get(key)
        if current is not None and not current.sessions and key not in self._lingering:
            loop = asyncio.get_running_loop()
            self._lingering[key] = loop.call_later(to_seconds(self.settings.linger), self._forget, key)

    def _forget(self, key: tuple[str, str]) -> None:
        """Nobody has come back for a topic."""
        self._lingering.pop(key, None)
        feed = self.feeds.pop(key)
        task = asyncio.get_running_loop().create_task(feed.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # ---- users

    def _addressed(self, payload: bytes, headers: Mapping[str, str]) -> Iterable[Session] | None:
        """The connections of those whom a message names."""
        if self.settings.user_header:
            named = users_in_headers(headers, self.settings.user_header)
        else:
            named = users_in_record(payload, self.settings.user_key)
        if not named:
            return None
        return [session for user in named for session in self.users.get(user, ())]
