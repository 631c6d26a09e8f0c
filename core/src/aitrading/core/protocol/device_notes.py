"""What an installed client tells its server beside ticks: alerts, news, entries of a calendar.

A client numbers its notes in a queue on its disk; the server keeps how far it took each queue. What
is sent again is recognised by its position, so each note is taken exactly once. Two devices that
bring the same piece of news bring one thing: its id is made of its content.
"""

import hashlib
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec

from aitrading.core.protocol.storable import STORABLE

NOTES_MAX: Final = 64
"""Notes in one delivery."""
TITLE_CHARS_MAX: Final = 500
BODY_CHARS_MAX: Final = 2_000
URL_CHARS_MAX: Final = 500
_FIRST_MS: Final = 0
_LAST_MS: Final = 4_102_444_800_000
"""2100: what is dated later is a mistake."""

Moment = Annotated[int, msgspec.Meta(ge=_FIRST_MS, le=_LAST_MS)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_CHARS_MAX, pattern=STORABLE)]
Body = Annotated[str, msgspec.Meta(max_length=BODY_CHARS_MAX, pattern=STORABLE)]
Url = Annotated[str, msgspec.Meta(max_length=URL_CHARS_MAX, pattern=r"^(https?://[^\s\x00]+)?\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{0,8}\Z")]
Figure = Annotated[str, msgspec.Meta(max_length=64, pattern=STORABLE)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=STORABLE)]
Number = Annotated[str, msgspec.Meta(pattern=r"^-?\d{1,18}(\.\d{1,9})?\Z")]
Watch = Annotated[str, msgspec.Meta(pattern=r"^(spread|move|gap|silence)\Z")]


class NewsKind(StrEnum):
    """What a source brings."""

    NEWS = "news"
    ECONOMIC_CALENDAR = "economic_calendar"


class AlertNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule was broken, or is kept again; both carry the id of the beginning."""

    id: UUID
    symbol: Name
    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=STORABLE)]
    what: Watch
    value: Number
    at_ms: Moment
    raised: bool

    @property
    def number(self) -> Decimal:
        """The value, exactly."""
        return Decimal(self.value)


class NewsNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of news, or one entry of an economic calendar."""

    kind: NewsKind
    source: Name
    happens_ms: Moment
    """When it was published, or when it happens."""
    title: Title
    body: Body = ""
    url: Url = ""
    currency: Currency = ""
    importance: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    actual: Figure = ""
    forecast: Figure = ""
    previous: Figure = ""

    @property
    def id(self) -> UUID:
        """The same content has the same id (version 8, RFC 9562), whatever source brought it."""
        content = msgspec.structs.replace(self, source="-")
        digest = hashlib.sha256(b"aitrading news v1\0" + msgspec.json.encode(content)).digest()
        value = int.from_bytes(digest[:16], "big") & ~(0xF << 76 | 0x3 << 62)
        return UUID(int=value | 0x8 << 76 | 0x2 << 62)


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place of a queue; `shed` says how many were given up before it because it was full."""

    position: Annotated[int, msgspec.Meta(ge=1, le=(1 << 62))]
    alert: AlertNote | None = None
    news: NewsNote | None = None
    shed: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 0


class Notes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notes of one queue, by position."""

    queue: UUID
    notes: Annotated[tuple[Note, ...], msgspec.Meta(min_length=1, max_length=NOTES_MAX)]


class NotesTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of the queue up to here is stored for good.

    `refused` counts what the installation does not take: news, when it takes ticks alone.
    """

    position: int
    refused: int = 0
