"""Text that every store keeps: a database takes each character but zero."""

from typing import Final

STORABLE: Final = r"^[^\x00]*\Z"
"""For names: one with a zero is refused."""


def storable(text: str) -> str:
    """Free words as a store keeps them: they explain something and refuse nothing."""
    return text.replace("\x00", "?")
