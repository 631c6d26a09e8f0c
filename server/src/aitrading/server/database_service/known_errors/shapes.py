"""Known errors as people and programs get them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.error_dna import SimilarError
from aitrading.core.infrastructure.error_embedding import ErrorFeatures


class KnownError(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of error of one organisation, folded over every time it happened."""

    fingerprint: str
    code: str
    message: str
    severity: str
    impact: str
    services: list[str]
    occurrences: int
    first_seen: datetime
    last_seen: datetime
    trace_id: str | None
    resolutions: int


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wrote that solved it."""

    id: UUID
    fingerprint: str
    note: str
    author: str
    created_at: datetime
    updated_at: datetime


class ErrorsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Known errors, the last seen first."""

    items: list[KnownError]
    next_cursor: str | None


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One error, its resolutions, and the earlier errors like it."""

    error: KnownError
    resolutions: list[Resolution]
    similar: list[SimilarError]


class SimilarErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Earlier errors like what was asked for, the most similar first."""

    items: list[SimilarError]


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What solved it, in words."""

    note: str


def known_error(row: Any) -> KnownError:
    """From a row of `page` or `one`."""
    fields = KnownError.__struct_fields__
    return KnownError(**{field: row[field] for field in fields})


def resolution(row: Any) -> Resolution:
    """From a row of `resolutions`."""
    return Resolution(**{field: row[field] for field in Resolution.__struct_fields__})


def features_of(row: Any) -> ErrorFeatures:
    """What is compared of a stored error."""
    return ErrorFeatures(
        code=row["code"], kind=row["kind"], frames=tuple(row["frames"]), message=row["message"]
    )
