"""Personal data in rows: sealed under its organisation's key, bound to its place, found by digest.

A key hierarchy of three: a master key, kept outside the database, wraps one key per organisation;
that one, kept wrapped in the database, gives a key per column (HKDF) for values and another for
the digests by which equal values are found. Who steals the database alone learns how long values
are and which of them, within one column of one organisation, are equal.

Sealed format 1: the byte 1, then nonce (12), ciphertext, tag (16). It is bound to organisation,
table, column and row: a value that was moved anywhere else does not open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey, derived_key, keyed_digest

SEALED_FORMAT: Final = b"\x01"
_LABEL: Final = b"aitrading/field/v1"

FIELD_MASTER_MISSING: Final = ErrorSpec(
    code="FIELD_MASTER_MISSING",
    category=Category.FATAL,
    message="Personal data was sealed under master key {number}, which is not here.",
    why="`keys/fields` is of another home than the database: one of them was restored without the "
    "other, or a key file was deleted.",
    remedy="Restore `keys/` and the database from the same backup. Nothing was changed.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
FIELD_KEY_UNREADABLE: Final = ErrorSpec(
    code="FIELD_KEY_UNREADABLE",
    category=Category.FATAL,
    message="The key of an organisation's personal data does not open with master key {number}.",
    why="The row in `app.tenant_keys` or the master key was changed or is of another home.",
    remedy="Restore `keys/` and the database from the same backup, and find out who changed it.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
FIELD_KEY_MISSING: Final = ErrorSpec(
    code="FIELD_KEY_MISSING",
    category=Category.FATAL,
    message="This organisation has no key for its personal data.",
    why="The key was destroyed, which erases every sealed value for good, or its row was deleted.",
    remedy="If the organisation was erased, this is the end of it; else restore a backup.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
FIELD_UNREADABLE: Final = ErrorSpec(
    code="FIELD_UNREADABLE",
    category=Category.FATAL,
    message="A sealed value in {table}.{column} does not open.",
    why="It was changed, or moved from another row, column or organisation, behind the platform's "
    "back.",
    remedy="Find out who wrote to the database; restore the row from a backup.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)


@dataclass(frozen=True, kw_only=True)
class SealedField:
    """A column whose values are sealed."""

    table: str
    column: str

    @property
    def label(self) -> bytes:
        """Tells it apart from every other field, unambiguously."""
        return _framed(self.table.encode(), self.column.encode())


class MasterKeys:
    """The keys that wrap organisations' keys; the one with the highest number wraps."""

    def __init__(self, keys: Mapping[int, Secret[bytes]]) -> None:
        self._keys = {number: FieldKey(key) for number, key in keys.items()}
        self.newest: Final = max(self._keys)

    def wrap(self, tenant: TenantId, key: Secret[bytes]) -> tuple[int, bytes]:
        """The number of the master key that was used, and what to store."""
        bound_to = _wrapping(tenant, self.newest)
        return self.newest, self._keys[self.newest].seal(key.reveal(), bound_to=bound_to)

    def unwrap(self, tenant: TenantId, number: int, wrapped: bytes) -> Secret[bytes]:
        """An organisation's key; raises `FIELD_MASTER_MISSING` or `FIELD_KEY_UNREADABLE`."""
        if number not in self._keys:
            raise FIELD_MASTER_MISSING.error(number=number)
        key = self._keys[number].open(wrapped, bound_to=_wrapping(tenant, number))
        if key is None:
            raise FIELD_KEY_UNREADABLE.error(number=number)
        return Secret(key)


class TenantFields:
    """Seals, opens and finds values of one organisation."""

    def __init__(self, tenant: TenantId, key: Secret[bytes]) -> None:
        self._tenant = tenant
        self._key = key
        self._keys: dict[bytes, FieldKey] = {}

    def seal(self, field: SealedField, row: UUID, value: str) -> bytes:
        """What to store in this column of this row."""
        bound_to = self._place(field, row)
        return SEALED_FORMAT + self._field_key(field).seal(value.encode(), bound_to=bound_to)

    def open(self, field: SealedField, row: UUID, sealed: bytes) -> str:
        """What was sealed for exactly this place; raises `FIELD_UNREADABLE`."""
        plain = None
        if sealed[:1] == SEALED_FORMAT:
            bound_to = self._place(field, row)
            plain = self._field_key(field).open(sealed[1:], bound_to=bound_to)
        if plain is None:
            raise FIELD_UNREADABLE.error(table=field.table, column=field.column)
        return plain.decode()

    def index(self, field: SealedField, *values: str) -> bytes:
        """By what equal values of this column are found (a blind index)."""
        key = derived_key(self._key, purpose=_framed(_LABEL, b"index", field.label))
        return keyed_digest(key, _framed(*(value.encode() for value in values)))

    def _field_key(self, field: SealedField) -> FieldKey:
        if field.label not in self._keys:
            purpose = _framed(_LABEL, b"value", field.label)
            self._keys[field.label] = FieldKey(derived_key(self._key, purpose=purpose))
        return self._keys[field.label]

    def _place(self, field: SealedField, row: UUID) -> bytes:
        return _framed(_LABEL, self._tenant.bytes, field.label, row.bytes)


def _wrapping(tenant: TenantId, number: int) -> bytes:
    return _framed(_LABEL, b"tenant-key", tenant.bytes, str(number).encode())


def _framed(*parts: bytes) -> bytes:
    """Parts one after the other, so that no two lists give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
