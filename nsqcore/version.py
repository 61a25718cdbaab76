"""The two versions that a daemon reports: the NSQ it speaks, and our own."""

from __future__ import annotations

import platform
from functools import cache

NSQ_VERSION = "1.3.0"
"""The release whose behaviour we offer. Peers compare it, so every version field on a wire holds this."""


@cache
def suite_version() -> str:
    """The version of this distribution, as ``pyproject.toml`` states it."""
    from importlib.metadata import PackageNotFoundError, version  # slow, rarely needed

    try:
        return version("nsq-suite")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0.0.0"


def banner(program: str) -> str:
    """The line that ``--version`` prints, in the original's form: ``nsqd v1.3.0 (built w/...)``."""
    return f"{program} v{NSQ_VERSION} (built w/nsq-suite-{suite_version()}-python{platform.python_version()})"
