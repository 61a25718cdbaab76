"""Publishing from threads, scripts and children of fork, through a real nsqd."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

import nsqclient
from nsqclient import Closed, InvalidName, NoNodes, PublishTimeout, blocking
from nsqclient.blocking import producer as producer_module
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


@pytest.fixture(scope="module")
def nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with spawn("nsqd", *LOCAL, f"--data-path={tmp_path_factory.mktemp('data')}") as daemon:
        yield daemon


def taken(nsqd: DaemonProcess, topic: str, count: int) -> list[bytes]:
    """Takes and finishes so many messages, and looks whether there is another."""
    bodies = []
    with blocking.Consumer(topic, "taken", nsqd.tcp, max_in_flight=500) as consumer:
        for _ in range(count):
            message = consumer.get(timeout=20)
            message.finish()
            bodies.append(message.body)
        with pytest.raises(TimeoutError):
            consumer.get(timeout=0.05)
    return sorted(bodies)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script of its own: for what ends a process, or splits it."""
    return subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_publishes_without_a_loop(nsqd: DaemonProcess) -> None:
    with blocking.Producer(nsqd.tcp) as producer:
        receipt = producer.publish("script", b"one")
        producer.publish("script", b"two", delay=0.01)
        producer.publish_many("script", [b"three", b"four"])
        assert producer.stats.stored == 3
    assert receipt.topic == "script"
    assert taken(nsqd, "script", 4) == [b"four", b"one", b"three", b"two"]


def test_it_takes_the_arguments_of_the_asynchronous_one() -> None:
    for name in ("publish", "publish_many"):
        ours, theirs = getattr(blocking.Producer, name), getattr(nsqclient.Producer, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
    assert list(inspect.signature(blocking.Producer).parameters) == list(
        inspect.signature(nsqclient.Producer).parameters
    )
    with pytest.raises(TypeError):
        blocking.Producer("127.0.0.1:1", no_such_setting=1)  # type: ignore[call-arg]


def test_errors_are_those_of_the_asynchronous_one(nsqd: DaemonProcess) -> None:
    with blocking.Producer(nsqd.tcp) as producer, pytest.raises(InvalidName):
        producer.publish("bad topic", b"x")
    with pytest.raises(Closed):
        producer.publish("t", b"x")
    with pytest.raises(Closed):
        blocking.Producer(nsqd.tcp).publish("t", b"x")
    with blocking.Producer("127.0.0.1:1") as alone, pytest.raises((NoNodes, PublishTimeout)) as none:
        alone.publish("t", b"x", timeout=0.1)
    assert none.value.outcome == "not_sent"


def test_many_threads_share_one_producer(nsqd: DaemonProcess) -> None:
    bodies = [b"%04d" % n for n in range(800)]
    with blocking.Producer(nsqd.tcp) as producer, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda body: producer.publish("threads", body), bodies))
    assert taken(nsqd, "threads", len(bodies)) == bodies


def test_submitted_messages_are_under_way_together_and_flushed(nsqd: DaemonProcess) -> None:
    bodies = [b"%04d" % n for n in range(3000)]
    with blocking.Producer(nsqd.tcp) as producer:
        futures = [producer.submit("submitted", body) for body in bodies]
        producer.flush(timeout=30)
        assert all(future.done() for future in futures)
        assert futures[0].result().topic == "submitted"
    assert taken(nsqd, "submitted", len(bodies)) == bodies


def test_what_was_submitted_is_published_before_the_block_ends(nsqd: DaemonProcess) -> None:
    with blocking.Producer(nsqd.tcp) as producer:
        futures = [producer.submit("left", b"%03d" % n) for n in range(500)]
    assert all(future.done() for future in futures)
    assert len(taken(nsqd, "left", 500)) == 500


def test_submitting_waits_for_room(nsqd: DaemonProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "MOST_SUBMITTED", 2)
    with blocking.Producer("127.0.0.1:1", timeout=1.0, close_timeout=0) as producer:
        first = [producer.submit("t", b"x") for _ in range(2)]
        with pytest.raises(nsqclient.Backlogged):
            producer.submit("t", b"x", timeout=0.01)
        for future in first:
            with pytest.raises(nsqclient.PublishError):
                future.result()


def test_a_callback_that_submits_never_waits_for_what_can_come_only_after_it(
    nsqd: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "MOST_SUBMITTED", 1)
    told: Queue[BaseException | None] = Queue()

    def more(_: object) -> None:
        try:
            for _ in range(2):
                producer.submit("callbacks", b"more")
        except nsqclient.Backlogged as e:
            told.put(e)
        else:
            told.put(None)

    with blocking.Producer(nsqd.tcp) as producer:
        producer.submit("callbacks", b"x").add_done_callback(more)
        assert isinstance(told.get(timeout=10), nsqclient.Backlogged)
    assert len(taken(nsqd, "callbacks", 2)) == 2


def test_failures_nobody_asked_for_are_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with blocking.Producer("127.0.0.1:1", timeout=0.05) as producer:
        producer.submit("t", b"x")
        producer.flush()
    assert "1 submitted messages were not published" in caplog.text


def test_a_future_can_be_cancelled() -> None:
    with blocking.Producer("127.0.0.1:1", timeout=20, close_timeout=20) as producer:
        future = producer.submit("t", b"x")
        assert future.cancel()
        begun = time.monotonic()
    assert time.monotonic() - begun < 10


def test_closing_tells_threads_that_wait() -> None:
    producer = blocking.Producer("127.0.0.1:1", timeout=60, close_timeout=0).open()
    outcomes: list[BaseException] = []

    def publish() -> None:
        try:
            producer.publish("t", b"x")
        except nsqclient.NsqError as e:
            outcomes.append(e)

    thread = threading.Thread(target=publish)
    thread.start()
    while not producer.stats.pending:
        time.sleep(0.001)
    producer.close()
    producer.close()
    thread.join(10)
    assert len(outcomes) == 1


def test_its_thread_ends_with_it(nsqd: DaemonProcess) -> None:
    before = threading.active_count()
    for _ in range(3):
        with blocking.Producer(nsqd.tcp) as producer:
            producer.publish("ends", b"x")
    assert threading.active_count() == before


def test_what_is_pending_at_exit_is_published(nsqd: DaemonProcess) -> None:
    code = """
import sys
from nsqclient import blocking
producer = blocking.Producer(sys.argv[1]).open()
for n in range(200):
    producer.submit("at-exit", b"%03d" % n)
"""
    done = run(code, nsqd.tcp)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(taken(nsqd, "at-exit", 200)) == 200


def test_ctrl_c_interrupts_a_publish_and_ends_the_script(nsqd: DaemonProcess) -> None:
    code = """
from nsqclient import blocking
with blocking.Producer("127.0.0.1:1", timeout=60) as producer:
    print("waiting", flush=True)
    producer.publish("t", b"x")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")


FORK = """
import os, sys
from nsqclient import Closed, blocking
producer = blocking.Producer(sys.argv[1]).open()
producer.publish("forked", b"parent before")
children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        producer.publish("forked", b"child %d" % n)
        producer.close()
        os._exit(0)
    children.append(pid)
    producer.publish("forked", b"parent after %d" % n)
print(*[os.waitpid(pid, 0)[1] for pid in children])
producer.publish("forked", b"parent at last")
producer.close()
"""


def test_children_of_fork_publish_on_connections_of_their_own(nsqd: DaemonProcess) -> None:
    done = run(FORK, nsqd.tcp)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "0 0 0\n")
    assert taken(nsqd, "forked", 8) == sorted(
        [b"parent before", b"parent at last"]
        + [b"child %d" % n for n in range(3)]
        + [b"parent after %d" % n for n in range(3)]
    )


POOL = """
import multiprocessing, sys
from nsqclient import blocking

producer = blocking.Producer(sys.argv[1])

def work(n):
    producer.publish("pool", b"%03d" % n)
    return n

if __name__ == "__main__":
    with producer:
        producer.publish("pool", b"main")
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            print(sum(pool.map(work, range(50))))
            pool.close()
            pool.join()
"""


def test_a_multiprocessing_pool_publishes(nsqd: DaemonProcess) -> None:
    done = run(POOL, nsqd.tcp, "fork")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "1225\n")
    assert len(taken(nsqd, "pool", 51)) == 51


def test_a_child_lets_the_parents_sockets_go(nsqd: DaemonProcess, tmp_path: Path) -> None:
    code = """
import os, sys
from nsqclient import blocking
producer = blocking.Producer(sys.argv[1]).open()
producer.publish("let-go", b"x")
if os.fork() == 0:
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
    print(sum(link.startswith("socket:") for link in links))
    sys.stdout.flush()
    os._exit(0)
os.wait()
producer.publish("let-go", b"y")
producer.close()
"""
    if not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc to see a process's sockets")
    done = run(code, nsqd.tcp)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= 1  # of the loop's pair that wakes it, the end that nobody watches
