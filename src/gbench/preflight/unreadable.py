"""The exception for a fact that this machine doesn't report."""

from __future__ import annotations


class Unreadable(Exception):
    """A fact is unavailable here; the text says which, or why. Never a reason to call a machine unfit."""
