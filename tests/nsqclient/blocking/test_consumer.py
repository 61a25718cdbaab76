"""Receiving in threads and scripts, through a real nsqd."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nsqclient import (
    AlreadySettled,
    Closed,
    ConfigError,
    DelayOutOfRange,
    Drop,
    Failures,
    FlowControl,
    LinearRequeue,
    Retry,
    SubscribeRefused,
    blocking,
)
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


@pytest.fixture(scope="module")
def nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    flags = (f"--data-path={tmp_path_factory.mktemp('data')}", "--max-channel-consumers=20")
    with spawn("nsqd", *LOCAL, *flags) as daemon:
        yield daemon


def publish(nsqd: DaemonProcess, topic: str, count: int) -> list[bytes]:
    bodies = [b"%04d" % n for n in range(count)]
    with blocking.Producer(nsqd.tcp) as producer:
        producer.publish_many(topic, bodies)
    return bodies


def depth(nsqd: DaemonProcess, topic: str) -> int:
    """Messages that are neither finished nor in flight."""
    with blocking.Consumer(topic, "c", nsqd.tcp, max_in_flight=100) as consumer:
        count = 0
        try:
            while True:
                consumer.get(timeout=0.1).finish()
                count += 1
        except TimeoutError:
            return count


def test_a_loop_receives_and_with_finishes(nsqd: DaemonProcess) -> None:
    bodies = publish(nsqd, "loop", 50)
    received = []
    with blocking.Consumer("loop", "c", nsqd.tcp, max_in_flight=10) as consumer:
        for message in consumer:
            with message:
                received.append(message.body)
                assert (message.topic, message.channel, message.attempts) == ("loop", "c", 1)
            if len(received) == 50:
                break
        assert message.state == "finished"
        assert consumer.stats.finished == 50
    assert sorted(received) == bodies
    assert depth(nsqd, "loop") == 0


def test_its_health_is_told_for_probes(nsqd: DaemonProcess) -> None:
    with blocking.Consumer("health", "c", nsqd.tcp) as consumer:
        health = consumer.health()
        assert (health.live, health.ready) == (True, True)
    with blocking.Consumer("health", "c", "127.0.0.1:1") as alone:
        assert not alone.health().ready
        assert alone.health().reasons
    with pytest.raises(Closed):
        alone.health()


def test_an_exception_requeues_and_goes_on(nsqd: DaemonProcess) -> None:
    publish(nsqd, "raises", 1)
    with blocking.Consumer("raises", "c", nsqd.tcp, flow=FlowControl(backoff=None)) as consumer:
        message = consumer.get(timeout=10)
        with pytest.raises(KeyError), message:
            raise KeyError
        assert message.state == "requeued"
        assert consumer.stats.requeued == 1


def test_each_message_goes_to_one_of_several_threads(nsqd: DaemonProcess) -> None:
    bodies = publish(nsqd, "shared", 300)
    received: list[bytes] = []
    with blocking.Consumer("shared", "c", nsqd.tcp, max_in_flight=50) as consumer:

        def work() -> None:
            for message in consumer:
                with message:
                    received.append(message.body)
                if len(received) >= 300:
                    consumer.stop()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(received) == bodies


def test_a_second_answer_is_harmless_when_it_is_the_same_and_told_when_not(nsqd: DaemonProcess) -> None:
    publish(nsqd, "twice", 2)
    with blocking.Consumer("twice", "c", nsqd.tcp, max_in_flight=2) as consumer:
        one, two = consumer.get(timeout=10), consumer.get(timeout=10)
        one.touch()
        one.finish()
        one.finish()
        with pytest.raises(AlreadySettled):
            one.requeue()
        with pytest.raises(DelayOutOfRange):
            two.requeue(-1)
        assert two.state == "held"
        two.requeue(0, backoff=False)
        again = consumer.get(timeout=10)
        assert again.id == two.id
        assert again.attempts == 2
        again.finish()


def test_what_is_raised_in_a_block_may_be_an_answer(nsqd: DaemonProcess) -> None:
    with blocking.Producer(nsqd.tcp) as producer:
        producer.publish_many("controls", [b"0", b"1"])
    with blocking.Consumer("controls", "c", nsqd.tcp, max_in_flight=1) as consumer:
        with consumer.get(timeout=10) as message:
            assert message.json() == 0
            assert (dict(message.headers), message.key) == ({}, None)
            raise Drop("of no use")
        assert message.state == "finished"
        with pytest.raises(DelayOutOfRange), consumer.get(timeout=10) as message:
            raise Retry(after=-1)
        assert message.state == "held"
        with message:
            raise Retry(after=0, backoff=False)
        with consumer.get(timeout=10) as again:
            assert (again.id, again.attempts, again.decode(int)) == (message.id, 2, 1)
    assert depth(nsqd, "controls") == 0


def test_a_wait_that_times_out_takes_nothing(nsqd: DaemonProcess) -> None:
    with blocking.Consumer("later", "c", nsqd.tcp) as consumer:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                consumer.get(timeout=0.01)
        publish(nsqd, "later", 1)
        with consumer.get(timeout=10) as message:
            assert message.body == b"0000"


def test_handlers_run_in_threads_and_fail_by_themselves(
    nsqd: DaemonProcess, caplog: pytest.LogCaptureFixture
) -> None:
    publish(nsqd, "handled", 40)
    seen: list[bytes] = []
    with blocking.Consumer(
        "handled",
        "c",
        nsqd.tcp,
        max_in_flight=8,
        flow=FlowControl(backoff=None),
        failures=Failures(requeue=_soon(), attempts=0),
    ) as consumer:

        def handle(message: blocking.Message) -> None:
            if message.attempts == 1 and message.body == b"0007":
                raise RuntimeError("bad luck")
            seen.append(message.body)
            if len(seen) == 40:
                consumer.stop()

        consumer.run(handle, threads=4)
        with pytest.raises(ConfigError):
            consumer.run(handle, threads=0)
    assert len(set(seen)) == 40
    assert "bad luck" in caplog.text


def test_a_handler_that_decides_what_can_not_be_harms_its_message_alone(nsqd: DaemonProcess) -> None:
    publish(nsqd, "undecided", 2)
    seen: list[bytes] = []
    with blocking.Consumer(
        "undecided",
        "c",
        nsqd.tcp,
        flow=FlowControl(backoff=None),
        failures=Failures(requeue=_soon(), attempts=0),
    ) as consumer:

        def handle(message: blocking.Message) -> None:
            seen.append(message.body)
            if len(seen) == 1:
                raise Retry(after=10**9)
            if len(seen) == 3:
                consumer.stop()

        consumer.run(handle)
    assert sorted(seen)[1:] in ([b"0000", b"0001"], [b"0001", b"0001"])


def test_closing_ends_a_loop_whose_body_is_at_work(nsqd: DaemonProcess) -> None:
    publish(nsqd, "at-work", 1)
    consumer = blocking.Consumer("at-work", "c", nsqd.tcp).open()
    for message in consumer:
        message.finish()
        consumer.close()
    assert list(consumer) == []


def _soon() -> LinearRequeue:
    return LinearRequeue(0.01)


def test_closing_ends_the_loops_of_other_threads(nsqd: DaemonProcess) -> None:
    consumer = blocking.Consumer("idle", "c", nsqd.tcp).open()
    ended = threading.Event()

    def wait() -> None:
        for _ in consumer:
            pass
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    consumer.close()
    assert ended.wait(10)
    thread.join()
    consumer.close()
    with pytest.raises(Closed):
        consumer.get()


def test_pausing_and_the_cap_work_from_any_thread(nsqd: DaemonProcess) -> None:
    with blocking.Consumer("paused", "c", nsqd.tcp) as consumer:
        consumer.pause()
        publish(nsqd, "paused", 1)
        with pytest.raises(TimeoutError):
            consumer.get(timeout=0.1)
        consumer.set_max_in_flight(5)
        consumer.resume()
        consumer.get(timeout=10).finish()


def test_a_refused_subscription_raises_at_the_start() -> None:
    with spawn("nsqd", *LOCAL, "--max-channel-consumers=1") as alone:
        before = threading.active_count()
        with blocking.Consumer("t", "c", alone.tcp):
            second = blocking.Consumer("t", "c", alone.tcp)
            with pytest.raises(SubscribeRefused):
                second.open()
        assert threading.active_count() == before


def test_ctrl_c_hands_back_what_was_not_handled(nsqd: DaemonProcess) -> None:
    bodies = publish(nsqd, "interrupted", 20)
    code = """
import sys
from nsqclient import blocking
with blocking.Consumer("interrupted", "c", sys.argv[1], max_in_flight=20) as consumer:
    with consumer.get(timeout=10):
        pass
    message = consumer.get(timeout=10)
    with message:
        print("held", flush=True)
        import time
        time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, nsqd.tcp], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert depth(nsqd, "interrupted") == len(bodies) - 1


def test_a_child_of_fork_is_told_that_the_consumer_is_not_its_own(nsqd: DaemonProcess) -> None:
    publish(nsqd, "forked-consumer", 2)
    code = """
import os, sys
from nsqclient import Closed, blocking
with blocking.Consumer("forked-consumer", "c", sys.argv[1], max_in_flight=2) as consumer:
    first = consumer.get(timeout=10)
    pid = os.fork()
    if pid == 0:
        try:
            consumer.get(timeout=1)
        except Closed as e:
            print(e, flush=True)
        first.finish()
        consumer.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    first.finish()
    consumer.get(timeout=10).finish()
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, nsqd.tcp],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "this consumer was opened before fork(); open one in this process\ndone\n"
    assert depth(nsqd, "forked-consumer") == 0
