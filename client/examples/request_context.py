"""A request's ID, tenant and deadline travel with its messages, through one handler and on to the next.

python client/examples/request_context.py 127.0.0.1:4150
"""

from __future__ import annotations

import asyncio
import sys

from nsqclient import App, propagate, scope

propagate("tenant", "request_id")  # what may travel; nothing else does


def make(address: str) -> App:
    """Two handlers, one after the other; the second stops the app."""
    app = App(address, headers="auto")

    @app.on("requests", channel="first")
    @app.publishes("work")
    async def first(body: bytes) -> bytes:
        """Nothing is said about the scope here, and its result has it all the same."""
        return body.upper()

    @app.on("work", channel="second")
    async def second(body: bytes) -> None:
        """What is left of the sender's time is known here, too, and the handler is cancelled when it is over."""
        left = scope.remaining()
        timed = "in time" if left is not None and left > 0 else "without a deadline"
        print(f"{body.decode()} for {scope.get('tenant')}, request {scope.get('request_id')}, {timed}")
        app.stop()

    return app


async def main(address: str) -> None:
    """Sends one request and waits for its end."""
    app = make(address)
    async with app:
        async with scope(timeout=30, tenant="acme", request_id="r-1"):
            await app.producer.publish("requests", b"hello", propagate_deadline=True)
        await app.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
