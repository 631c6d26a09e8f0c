"""What the administration of the host takes and gives."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from aitrading.server.api_gateway.identity.model import Role
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation."""

    id: UUID
    name: str
    state: str
    created_at: datetime


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    password_ends_at: datetime | None
    """Until when a password counts that the host made; None for a person's own."""
    password_ended: bool


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A login as it is told once; `password` is missing when the caller chose it."""

    user: UUID
    name: str
    password: str | None
    password_ends_at: datetime
    """The person sets one of their own before."""


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker account to create."""

    tenant: str
    name: str
    broker_server: str
    login: str
    currency: str
    margin_mode: Literal["hedging", "netting"] = "hedging"
    simulated: bool = False
    device: UUID | None = None


class AccountDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device that may execute a broker account from now on; without one, none may."""

    tenant: str
    account: UUID
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


FEATURES_MAX: Final = 64
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone; one without is refused."""
StoredState = Literal["active", "paused", "ended"]


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an organisation or, with `user`, a person is entitled to; by default from now on."""

    tenant: str
    plan: str
    user: str | None = None
    features: tuple[str, ...] = ()
    state: StoredState = "active"
    valid_from: Moment | None = None
    valid_to: Moment | None = None


class SubscriptionStateChange(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Whether a subscription counts from now on; its tier and period stay."""

    tenant: str
    state: StoredState
    user: str | None = None


class SubscriptionVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The change is stored under this version."""

    version: int


class PersonSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """What one person is entitled to now."""

    name: str
    subscription: SubscriptionAnswer


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation is entitled to; the version grows with each change."""

    plan: str
    features: tuple[str, ...]
    state: str
    valid_from: datetime
    valid_to: datetime | None
    version: int
