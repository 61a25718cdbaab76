"""gnsq, on gevent."""

from __future__ import annotations

import gevent
import gevent.event
import gnsq

from bench.clients.work import BODY, Stopwatch, Work, work


def publish(job: Work) -> None:
    producer = gnsq.Producer(job.address)
    producer.start()
    producer.publish(job.topic, BODY)

    def one_after_another(count: int) -> None:
        for _ in range(count):
            producer.publish(job.topic, BODY)

    watch = Stopwatch()
    gevent.joinall([gevent.spawn(one_after_another, job.count // job.width) for _ in range(job.width)])
    watch.report()


def batch(job: Work) -> None:
    producer = gnsq.Producer(job.address)
    producer.start()
    producer.publish(job.topic, BODY)
    watch = Stopwatch()
    for _ in range(job.count // job.width):
        producer.multipublish(job.topic, [BODY] * job.width)
    watch.report()


def consume(job: Work) -> None:
    done = gevent.event.Event()
    left = job.count

    def handle(consumer: gnsq.Consumer, message: gnsq.Message) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    watch = Stopwatch()
    consumer = gnsq.Consumer(job.topic, "ch", job.address, message_handler=handle, max_in_flight=job.width)
    consumer.start(block=False)
    done.wait()
    watch.report()


if __name__ == "__main__":
    job = work()
    {"publish": publish, "batch": batch, "consume": consume}[job.mode](job)
