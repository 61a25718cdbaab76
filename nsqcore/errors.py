"""What stops a daemon from starting, and what its HTTP endpoints refuse."""

from __future__ import annotations


class StartError(Exception):
    """A daemon can't start; the text is for the person who started it. The exit status is 1.

    ``task`` is what failed, as in "failed to load metadata"; without it the daemon as a whole.
    """

    def __init__(self, text: str, task: str = "") -> None:
        super().__init__(text)
        self.task = task


class HttpError(Exception):
    """An HTTP request is refused: ``status`` and the code of ``{"message":"CODE"}``."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
