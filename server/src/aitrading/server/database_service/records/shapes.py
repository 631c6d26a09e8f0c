"""What the read surface takes and gives."""

import msgspec


class RecordColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column and its type as PostgreSQL names it."""

    name: str
    type: str


class RecordKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of record; those that are not your organisation's own are for operators."""

    name: str
    meaning: str
    operators_only: bool
    columns: tuple[RecordColumn, ...]


class RecordKinds(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller may read."""

    items: tuple[RecordKind, ...]


class RecordsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records in the order of their keys; `next_cursor` is there while more follow."""

    kind: str
    columns: tuple[str, ...]
    items: tuple[msgspec.Raw, ...]
    next_cursor: str | None = None
