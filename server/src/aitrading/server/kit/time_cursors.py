"""Cursors of pages by time: where a page ended, as the text `TIME~ID` that is given out and comes back."""

from datetime import UTC, datetime
from uuid import UUID

from aitrading.server.kit.http_errors import REQUEST_INVALID

TimePlace = tuple[datetime, UUID]


def cursor_of(at: datetime, row: UUID) -> str:
    """The text for a place."""
    return f"{at.isoformat()}~{row}"


def place_of(cursor: str | None) -> TimePlace | None:
    """The place of a text that came back; raises `REQUEST_INVALID`."""
    if cursor is None:
        return None
    at, _, row = cursor.partition("~")
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError(at)  # noqa: TRY301 - refused like every other one
        return moment.astimezone(UTC), UUID(row)
    except (ValueError, OverflowError):
        raise REQUEST_INVALID.error(reason="`cursor` was not given out here") from None
