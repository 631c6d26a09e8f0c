"""Rows with sealed columns, as the rest of the program knows them."""

from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from aitrading.core.security.field_encryption import SealedField
from aitrading.server.kit.transactions import Row
from aitrading.server.personal_data.catalogue import (
    ACCOUNT_LOGIN,
    ACCOUNT_NAME,
    DEVICE_NAME,
    USER_DISPLAY_NAME,
    USER_NAME,
    PersonalData,
)

SEALED: Final = "_sealed"


class Opener(Protocol):
    """What reads sealed values: `TenantFields`, or who stands for a key that was destroyed."""

    def open(self, field: SealedField, row: UUID, sealed: bytes) -> str:
        """The value that was sealed for exactly this place."""
        ...


class Named(Protocol):
    """What people look for by its name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


N = TypeVar("N", bound=Named)


def opened_user(row: Row, fields: Opener) -> dict[str, Any]:
    """A row of `identity.users`."""
    return _opened(row, fields, USER_NAME, USER_DISPLAY_NAME)


def opened_device(row: Row, fields: Opener) -> dict[str, Any]:
    """A row of `identity.devices`."""
    return _opened(row, fields, DEVICE_NAME)


def opened_account(row: Row, fields: Opener) -> dict[str, Any]:
    """A row of `identity.accounts`."""
    return _opened(row, fields, ACCOUNT_NAME, ACCOUNT_LOGIN)


def by_name(found: Iterable[N]) -> list[N]:
    """In the order in which people look for them; the database cannot sort what it cannot read."""
    return sorted(found, key=lambda each: each.name)


def _opened(row: Row, fields: Opener, *sealed: PersonalData) -> dict[str, Any]:
    """The row with each sealed column, where the row has it, under its plain name."""
    values: dict[str, Any] = dict(row)
    for field in sealed:
        hidden = values.pop(field.column + SEALED, None)
        if hidden is not None:
            values[field.column] = fields.open(field, row["id"], hidden)
    return values
