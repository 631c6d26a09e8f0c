"""File keys that lie in no file."""

from collections.abc import Sequence

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.file_sealing import FileKeys


class MemoryFileKeys:
    """A home's file keys; `rotate` adds one, and who shares the list sees it."""

    def __init__(self) -> None:
        self.keys: list[Secret[bytes]] = []
        self.rotate()

    def rotate(self) -> None:
        """Seal with another key from now on."""
        self.keys.append(FieldKey.generate())

    def load(self) -> Sequence[Secret[bytes]]:
        """As `FileKeys` wants them."""
        return list(self.keys)


def some_file_keys() -> FileKeys:
    """Keys of a home of their own."""
    return FileKeys(MemoryFileKeys().load)
