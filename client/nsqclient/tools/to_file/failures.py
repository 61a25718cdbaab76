"""What ends the archive of a topic, in the words of its last log line."""

from __future__ import annotations


class ArchiveFailed(Exception):
    """Files can't be written: whatever is not finished is to be requeued, and the process to end."""


def reason(error: OSError) -> str:
    """What went wrong, as a Go program says it: ``no space left on device``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
