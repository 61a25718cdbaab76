"""Each option of go-nsq: what it may be, and what it comes to; those that nsqd is told, as they are on the wire."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.consumer.failures import LinearRequeue
from nsqclient.consumer.options import Backoff
from nsqclient.discovery.targets import Lookup
from nsqclient.errors import ConfigError
from nsqclient.pauses import FullJitter
from nsqclient.tools.common.client_options import KNOWN, ClientOption
from nsqclient.tools.common.client_settings import ClientSettings
from nsqclient.tools.common.destinations import Destinations, producer_for
from nsqclient.tools.common.sources import Sources, consumer_for, target_of
from nsqcore.version import suite_version
from tests.support.fake_nsqd import FakeNsqd

GO_NSQ = [
    "dial_timeout",
    "read_timeout",
    "write_timeout",
    "local_addr",
    "lookupd_poll_interval",
    "lookupd_poll_jitter",
    "lookupd_poll_timeout",
    "max_requeue_delay",
    "default_requeue_delay",
    "backoff_strategy",
    "max_backoff_duration",
    "backoff_multiplier",
    "max_attempts",
    "low_rdy_idle_timeout",
    "low_rdy_timeout",
    "rdy_redistribute_interval",
    "client_id",
    "hostname",
    "user_agent",
    "topology_region",
    "topology_zone",
    "heartbeat_interval",
    "sample_rate",
    "tls_v1",
    "tls_root_ca_file",
    "tls_cert",
    "tls_key",
    "tls_insecure_skip_verify",
    "tls_min_version",
    "deflate",
    "deflate_level",
    "snappy",
    "output_buffer_size",
    "output_buffer_timeout",
    "max_in_flight",
    "msg_timeout",
    "max_msg_size",
    "auth_secret",
    "skip_lookupd_authorization",
]


def settings(*texts: str) -> ClientSettings:
    return ClientSettings(option for text in texts for option in ClientOption.parse(text))


def sources(*texts: str, **more: Any) -> Sources:
    return Sources(consumer_opt=[option for text in texts for option in ClientOption.parse(text)], **more)


def test_all_options_that_can_be_texts_are_known() -> None:
    assert sorted(KNOWN) == sorted(GO_NSQ)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("snappy", True),
        ("snappy,false", False),
        ("snappy,0", False),
        ("max-in-flight,5", 5),
        ("max_attempts,0", 0),
        ("max_attempts,65535", 65535),
        ("msg_timeout,2500", 2.5),
        ("msg_timeout,2s500ms", 2.5),
        ("msg_timeout,0", 0.0),
        ("read_timeout,100ms", 0.1),
        ("read_timeout,5m", 300.0),
        ("heartbeat_interval,-1", -1.0),
        ("heartbeat_interval,-1ms", -1.0),
        ("output_buffer_timeout,-1", -1.0),
        ("output_buffer_timeout,0", 0.0),
        ("output_buffer_size,-1", -1),
        ("lookupd_poll_jitter,1", 1.0),
        ("backoff_strategy,full_jitter", "full_jitter"),
        ("client_id,a,b", "a,b"),
        ("client_id,", ""),
    ],
)
def test_a_value_is_read(text: str, value: object) -> None:
    ((_, read),) = ClientOption.parse(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "invalid option "),
        ("max_atempts,1", r"invalid option max_atempts \(did you mean max_attempts\?\)"),
        ("tls_config,x", "invalid option tls_config"),
        ("snappy,maybe", "snappy: 'maybe' is no boolean, want true or false"),
        ("max_attempts", "max_attempts: 'true' is no whole number"),
        ("max_attempts,-1", "max_attempts: -1 is not allowed, want 0 to 65535"),
        ("max_attempts,65536", "want 0 to 65535"),
        ("max_requeue_delay,61m", "max_requeue_delay: 1h1m is not allowed, want 0s to 1h"),
        ("max_requeue_delay,-1s", "want 0s to 1h"),
        ("read_timeout,99ms", "read_timeout: 99ms is not allowed, want 100ms to 5m"),
        ("read_timeout,soon", "read_timeout: 'soon' is no duration such as 250ms or 1m30s, nor milliseconds"),
        ("heartbeat_interval,500ms", "want 1s to 1m, -1"),
        ("heartbeat_interval,0", "want 1s to 1m, -1"),
        ("sample_rate,100", "want 0 to 99"),
        ("deflate_level,0", "want 1 to 9"),
        ("lookupd_poll_jitter,nan", "want 0 to 1"),
        ("lookupd_poll_jitter,1.1", "want 0 to 1"),
        ("rdy_redistribute_interval,6s", "want 1ms to 5s"),
        ("low_rdy_timeout,500ms", "want 1s to 5m"),
        ("tls_min_version,tls2", "want ssl3.0, tls1.0, tls1.1, tls1.2, tls1.3"),
        ("backoff_strategy,none", "want exponential, full_jitter"),
        ("output_buffer_size,10", "want 64 to 65536, -1, 0"),
        ("output_buffer_timeout,10ms", "want 25ms to 30s, -1, 0"),
        ("auth_secret,", "auth_secret: want a text that is not empty"),
        ("max_msg_size,1" + "0" * 30, "max_msg_size: "),
        ("dial_timeout,9" * 30, "dial_timeout: "),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ClientOption.parse(text)


@given(st.one_of(st.text(), st.tuples(st.sampled_from(GO_NSQ), st.text()).map(",".join)))
def test_whatever_is_given_is_read_or_refused_in_words(text: str) -> None:
    try:
        parsed = ClientOption.parse(text)
    except ValueError:  # in words, which the others prove
        return
    ((name, value),) = parsed
    assert name in KNOWN
    assert not isinstance(value, float) or math.isfinite(value)


# ---- what nsqd is told


IDENTIFY = [
    ("client_id,me", {"client_id": "me"}),
    ("hostname,box.example", {"hostname": "box.example"}),
    ("heartbeat_interval,15s", {"heartbeat_interval": 15000}),
    ("sample_rate,10", {"sample_rate": 10}),
    ("output_buffer_size,-1", {"output_buffer_size": -1}),
    ("output_buffer_size,0", {"output_buffer_size": 0}),
    ("output_buffer_timeout,-1", {"output_buffer_timeout": -1}),
    ("output_buffer_timeout,0", {"output_buffer_timeout": 0}),
    ("output_buffer_timeout,30ms", {"output_buffer_timeout": 30}),
    ("msg_timeout,5m", {"msg_timeout": 300_000}),
    ("msg_timeout,0", {"msg_timeout": 0}),
    ("snappy", {"snappy": True}),
    ("deflate", {"deflate": True, "deflate_level": 6}),
    ("topology_zone,z", {"topology_zone": "z", "topology_region": ""}),
    ("topology_region,r", {"topology_zone": "", "topology_region": "r"}),
    ("user_agent,mine", {"user_agent": f"nsq_tail/1.3.0 nsqclient/{suite_version()}"}),
]


@pytest.mark.parametrize(("text", "told"), IDENTIFY)
async def test_a_nsqd_is_told_by_a_consumer(text: str, told: dict[str, object]) -> None:
    async with FakeNsqd() as nsqd:
        options = sources(text, nsqd_tcp_address=[nsqd.address])
        async with consumer_for(options, "t", "c", program="nsq_tail", max_in_flight=3):
            await nsqd.expect("IDENTIFY", "SUB t c", "RDY 3")
            assert told.items() <= nsqd.link.identify.items()


@pytest.mark.parametrize(("text", "told"), IDENTIFY)
async def test_a_nsqd_is_told_by_a_producer(text: str, told: dict[str, object]) -> None:
    async with FakeNsqd() as nsqd:
        options = Destinations(producer_opt=ClientOption.parse(text))
        async with producer_for(options, nsqd.address, program="nsq_tail") as producer:
            await producer.publish("t", b"x")
            assert told.items() <= nsqd.link.identify.items()


async def test_a_producer_may_do_without_heartbeats_and_a_consumer_may_not() -> None:
    async with FakeNsqd() as nsqd:
        options = Destinations(producer_opt=ClientOption.parse("heartbeat_interval,-1"))
        async with producer_for(options, nsqd.address, program="to_nsq") as producer:
            await producer.publish("t", b"x")
            assert nsqd.link.identify["heartbeat_interval"] == -1
        with pytest.raises(ConfigError, match="heartbeats"):
            consumer_for(
                sources("heartbeat_interval,-1", nsqd_tcp_address=["h:1"]),
                "t",
                "c",
                program="p",
                max_in_flight=1,
            )


async def test_the_secret_is_sent_to_a_nsqd_that_asks_for_one() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        options = sources("auth_secret,opensesame", nsqd_tcp_address=[nsqd.address])
        async with consumer_for(options, "t", "c", program="p", max_in_flight=1):
            await nsqd.expect("IDENTIFY", "AUTH", "SUB t c")


async def test_connections_come_from_the_local_address() -> None:
    peers: list[str] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        options = sources("local_addr,127.0.0.9", nsqd_tcp_address=[f"127.0.0.1:{port}"])
        async with consumer_for(options, "t", "c", program="p", max_in_flight=1):
            pass
    assert peers[:1] == ["127.0.0.9"]


# ---- what else they come to


def test_times_of_connections() -> None:
    options = settings("dial_timeout,2s", "read_timeout,40s", "write_timeout,3s").connection("p")
    assert (options.dial_timeout, options.read_timeout, options.write_timeout) == (2, 40, 3)
    assert settings("dial_timeout,0").connection("p").dial_timeout == 300
    with pytest.raises(ConfigError, match="heartbeat is longer than read_timeout"):
        settings("read_timeout,10s").connection("p")
    assert settings("read_timeout,10s", "heartbeat_interval,5s").connection("p").longest_silence == 10


def test_compression_is_asked_for_and_not_insisted_on() -> None:
    assert settings("deflate", "deflate_level,9").connection("p").compress == "prefer:deflate:9"
    assert settings("deflate,false", "snappy").connection("p").compress == "prefer:snappy"
    assert settings("deflate_level,9").connection("p").compress is None
    with pytest.raises(ConfigError, match="deflate and snappy"):
        settings("deflate", "snappy").connection("p")


def test_tls_is_insisted_on(caplog: pytest.LogCaptureFixture) -> None:
    tls = (
        settings("tls_v1", "tls_root_ca_file,ca", "tls_cert,c", "tls_key,k", "tls_min_version,tls1.3")
        .connection("p")
        .tls
    )
    assert tls is not None
    assert (tls.mode, tls.ca, tls.cert, tls.verify, tls.min_version) == (
        "require",
        "ca",
        ("c", "k"),
        True,
        "1.3",
    )
    tls = settings("tls_v1", "tls_insecure_skip_verify", "tls_min_version,ssl3.0").connection("p").tls
    assert tls is not None
    assert (tls.verify, tls.min_version) == (False, "1.2")
    with pytest.raises(ConfigError, match="together"):
        settings("tls_v1", "tls_cert,c").connection("p")
    assert not caplog.records
    assert settings("tls_insecure_skip_verify").connection("p").tls is None
    assert "without tls_v1" in caplog.text


def test_nsqlookupds_are_asked_so() -> None:
    texts = (
        "lookupd_poll_interval,10s",
        "lookupd_poll_jitter,0.5",
        "lookupd_poll_timeout,3s",
        "auth_secret,s",
    )
    lookup = target_of(sources(*texts, lookupd_http_address=["h:4161"])).target
    assert isinstance(lookup, Lookup)
    assert (lookup.poll_interval, lookup.poll_jitter, lookup.request_timeout) == (10, 0.5, 3)
    assert lookup.auth == "s"
    silent = target_of(
        sources("skip_lookupd_authorization,false", "auth_secret,s", lookupd_http_address=["h:4161"])
    ).target
    assert isinstance(silent, Lookup)
    assert silent.auth is None
    assert settings("lookupd_poll_timeout,0").lookup()["connect_timeout"] == 300


def test_without_nsqlookupds_the_interval_bounds_the_pauses_between_connects() -> None:
    assert settings("lookupd_poll_interval,10s").reconnect() == FullJitter(0.1, 10)
    assert settings("lookupd_poll_interval,50ms").retry().backoff == FullJitter(0.05, 0.05)
    assert settings().reconnect() == FullJitter()


def test_messages_that_fail_come_again_as_it_is_said() -> None:
    failures = settings("max_attempts,3", "default_requeue_delay,1s", "max_requeue_delay,2s").failures()
    assert (failures.attempts, failures.requeue) == (3, LinearRequeue(1, 2))
    assert settings().failures().attempts == 0, "a message is given up though nobody asked for it"
    assert settings().failures().requeue == LinearRequeue(90, 900)


def test_a_consumer_slows_down_as_it_is_said() -> None:
    flow = settings(
        "backoff_multiplier,2s",
        "max_backoff_duration,5s",
        "backoff_strategy,full_jitter",
        "low_rdy_idle_timeout,20s",
        "low_rdy_timeout,30s",
        "rdy_redistribute_interval,1s",
    ).flow()
    assert flow.backoff == Backoff(multiplier=2, max_duration=5, strategy="full_jitter")
    assert flow.low_rdy_idle == 20


def test_the_flag_says_how_many_messages_are_in_flight_whatever_the_option_says() -> None:
    assert settings("max_in_flight,7").failures() == settings().failures()


def test_the_size_of_messages_is_a_limit_with_room_for_commands_of_several() -> None:
    limits = settings("max_msg_size,16777216").connection("p").limits
    assert (limits.max_msg_size, limits.max_body_size) == (16 << 20, (16 << 20) + 8)
    assert settings("max_msg_size,0").connection("p").limits.max_msg_size == 1 << 20


def test_the_last_of_several_counts() -> None:
    assert settings("max_attempts,3", "max-attempts,4").failures().attempts == 4


def test_the_environment_counts_where_no_option_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSQ_AUTH_SECRET", "from outside")
    monkeypatch.setenv("NSQ_CLIENT_ID", "outside")
    told = target_of(sources(nsqd_tcp_address=["h:1"]), "p").options
    assert (told.auth, told.client_id) == ("from outside", "outside")
    told = target_of(sources("auth_secret,given", nsqd_tcp_address=["h:1"]), "p").options
    assert (told.auth, told.client_id) == ("given", "outside")
    monkeypatch.setenv("NSQ_LOOKUP_AUTH_SECRET", "for nsqlookupds")
    lookup = target_of(sources("auth_secret,given", lookupd_http_address=["h:1"])).target
    assert isinstance(lookup, Lookup)
    assert lookup.auth == "for nsqlookupds"
