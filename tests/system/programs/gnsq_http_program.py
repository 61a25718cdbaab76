"""gnsq's HTTP clients: makes the calls that argv names, ``[method, *args]`` each, and writes what came of them.

argv is ``nsqd`` or ``nsqlookupd``, the address, and the calls as JSON; the outcomes are a JSON list in which an
error is ``{"error": text}``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import gnsq


def outcome(client: Any, method: str, *args: Any) -> Any:
    """The answer as JSON has it; bodies that are published come and go as text."""
    if method == "publish":
        args = (args[0], args[1].encode("latin-1"), *args[2:])
    if method == "multipublish":
        args = (args[0], [body.encode("latin-1") for body in args[1]], *args[2:])
    try:
        answer = getattr(client, method)(*args)
    except gnsq.errors.NSQException as e:
        return {"error": str(e)}
    return answer.decode() if isinstance(answer, bytes) else answer


def main() -> None:
    kind, address, calls = sys.argv[1:]
    host, port = address.split(":")
    client = {"nsqd": gnsq.NsqdHTTPClient, "nsqlookupd": gnsq.LookupdClient}[kind](host, int(port))
    print(json.dumps([outcome(client, *call) for call in json.loads(calls)]))  # noqa: T201 - that is its task


if __name__ == "__main__":
    main()
