"""What a backup says about itself: the marker at its beginning, the manifest at its end."""

from typing import Final
from uuid import UUID

import msgspec

FORMAT: Final = 1
"""Of everything inside the encryption; a reader refuses any other."""


class MigrationMark(msgspec.Struct, frozen=True, kw_only=True):
    """A migration that was applied when the backup was made."""

    engine: str
    file: str
    checksum: str


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """The moment a backup stands for: whatever was acknowledged before it is inside."""

    format: int
    backup: UUID
    at: str
    release: str
    home: str
    migrations: tuple[MigrationMark, ...]


class PartSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One part as it was written; the digest covers names, sizes and contents in order."""

    name: str
    files: int
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written last: only a whole backup has one."""

    marker: Marker
    parts: tuple[PartSummary, ...]

    @property
    def size_bytes(self) -> int:
        """Of all parts, before compression."""
        return sum(part.size_bytes for part in self.parts)
