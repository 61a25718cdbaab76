"""Why a tool does not begin, or does not go on."""

from __future__ import annotations


class Refused(Exception):
    """The tool ends with status 1; the text is one line for the person who started it."""
