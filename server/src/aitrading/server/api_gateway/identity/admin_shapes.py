"""What the administration of the host takes and gives."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from aitrading.server.api_gateway.identity.model import Role


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation."""

    id: UUID
    name: str
    state: str
    created_at: datetime


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person to create; without a password one is generated."""

    tenant: str
    user: str
    display_name: str
    role: Role
    password: str | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One person of an organisation."""

    id: UUID
    name: str
    display_name: str
    role: Role
    state: str
    created_at: datetime


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A login as it is told once; `password` is missing when the caller chose it."""

    user: UUID
    name: str
    password: str | None


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A broker account to create."""

    tenant: str
    name: str
    broker_server: str
    login: str
    currency: str
    margin_mode: Literal["hedging", "netting"] = "hedging"
    simulated: bool = False
    device: UUID | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One broker account."""

    id: UUID
    name: str
    broker_server: str
    login: str
    currency: str
    margin_mode: str
    simulated: bool
    device: UUID | None


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation is entitled to from now on."""

    tenant: str
    plan: str
    features: tuple[str, ...] = ()
    state: Literal["active", "paused", "ended"] = "active"
    valid_to: datetime | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation is entitled to; the version grows with each change."""

    plan: str
    features: tuple[str, ...]
    state: str
    valid_from: datetime
    valid_to: datetime | None
    version: int
