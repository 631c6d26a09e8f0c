"""Roles, names and the shapes that identity takes and gives."""

import re
import unicodedata
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, datetime_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.identity.errors import IDENTITY_INVALID
from aitrading.server.policy import roles_policy

LIST_LIMIT: Final = 1000
DISPLAY_NAME_CHARS: Final = 128
ACCOUNT_NAME_CHARS: Final = 64
DEVICE_NAME_CHARS: Final = 64
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")
_LOGIN: Final = re.compile(r"[0-9]{1,20}")


class Role(StrEnum):
    """What a person is in the organisation."""

    OWNER = "owner"
    ADMIN = "admin"
    TRADER = "trader"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    SERVICE = "service"


SCOPES: Final = {
    Role(role): frozenset(map(Scope, scopes)) for role, scopes in roles_policy().items()
}
"""As `roles.toml` says."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in."""

    user: UUID
    tenant: UUID
    tenant_name: str
    name: str
    display_name: str
    role: Role
    scopes: tuple[Scope, ...]


def normalised_name(text: str) -> str:
    """One spelling per user name or e-mail address; raises `IDENTITY_INVALID`."""
    name = unicodedata.normalize("NFC", text.strip()).casefold()
    if not _NAME.fullmatch(name):
        raise IDENTITY_INVALID.error(field="user", reason="use a-z, 0-9 and . _ @ + - only")
    return name


def normalised_login(text: str) -> str:
    """The number of a broker account in its one spelling; raises `IDENTITY_INVALID`."""
    if not _LOGIN.fullmatch(text):
        raise IDENTITY_INVALID.error(field="login", reason="a login is a number of 1 to 20 digits")
    return str(int(text))


def checked_text(text: str, *, field: str, limit: int) -> str:
    """A name that people choose freely; raises `IDENTITY_INVALID`."""
    if not 1 <= len(text) <= limit or not text.isprintable():
        raise IDENTITY_INVALID.error(field=field, reason=f"use 1 to {limit} visible characters")
    return text


def tenant_of_row(value: UUID) -> TenantId:
    """A column's value as the id that opens a tenant transaction; the driver has its own type."""
    return TenantId(UUID(int=value.int))


def after(clock: Clock, seconds: float) -> datetime:
    """A moment from now on, for a column."""
    return datetime_of_ns(clock.now_ns() + round(seconds * 1e9))


def as_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch of a column's value."""
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
