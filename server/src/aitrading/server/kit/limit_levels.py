"""At which levels a request counts, and with which numbers: the policy's table, read for a caller.

A number is, in this order: granted to the organisation, set for the installation, of the tier.
"""

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

from typing_extensions import override

from aitrading.core.kit.ids import DeviceId, TenantId, UserId
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.load_governor import WHOLE
from aitrading.server.policy import LimitsPolicy, Rates, TierLimits, limits_policy

STANDARD: Final = "standard"
IPV6_CUSTOMER_BITS: Final = 64
_SETTING_OF_USER: Final = {
    "general": "user_per_minute",
    "identity": "identity_per_minute",
    "trading": "trading_per_minute",
    "connections": "connections_per_minute",
}


class LimitKind(StrEnum):
    """What sort of request it is; each sort has counters of its own at every level."""

    GENERAL = "general"
    IDENTITY = "identity"
    """Who somebody is: logins, sessions, devices, passwords."""
    TRADING = "trading"
    """What places orders."""
    CONNECTIONS = "connections"
    """Streams of people."""
    LINKS = "links"
    """Connections of devices: ticks come over them, and orders go."""
    HEALTH = "health"
    """How the platform is: who looks must see it when all else is too much."""
    HOST = "host"
    """A login that the host prepared: a link of its own making."""
    EXEMPT = "exempt"
    """Stopping and reducing must always be possible."""


class Held(StrEnum):
    """What an organisation holds; the name of its setting, and of its number in a tier."""

    LINKS = "links_max"
    STREAMS = "streams_max"
    FEEDS = "feeds_max"
    SPOOL = "spool_per_cent"


class LevelName(StrEnum):
    """Whose requests are counted together."""

    PLATFORM = "platform"
    ADDRESS = "address"
    TENANT = "tenant"
    ACCOUNT = "account"
    USER = "user"
    TRADING_ACCOUNT = "trading_account"
    DEVICE = "device"


WHOM: Final = {
    LevelName.PLATFORM: "on the whole platform",
    LevelName.ADDRESS: "from one address",
    LevelName.TENANT: "for one organisation",
    LevelName.ACCOUNT: "for one login name",
    LevelName.USER: "for one person",
    LevelName.TRADING_ACCOUNT: "for one broker account",
    LevelName.DEVICE: "for one device",
}


class Person(Protocol):
    """Whose requests are counted; a verified token is one."""

    @property
    def tenant(self) -> TenantId:
        """The organisation."""
        ...

    @property
    def user(self) -> UserId:
        """The person."""
        ...

    @property
    def rates(self) -> RateClaims:
        """What decides how often the person may ask."""
        ...


@dataclass(frozen=True, slots=True)
class Device:
    """Whose connections are counted, and what its organisation is entitled to."""

    tenant: TenantId
    device: DeviceId
    rates: RateClaims = NO_RATES


@dataclass(frozen=True, slots=True)
class Level:
    """One counter that a request counts at."""

    name: LevelName
    kind: LimitKind
    tenant: TenantId | None
    """Whose key it is; None for the platform's."""
    whose: str
    """Which address, person, device; empty where there is one only."""
    per_minute: int
    """How many there are now."""
    whole: int
    """How many there are without load."""

    @property
    def key(self) -> str:
        """Its name in the shared counters."""
        return f"{self.name}:{self.kind}:{self.whose}"


class Load(Protocol):
    """How much of the limits the load of this process leaves."""

    @property
    def version(self) -> int:
        """Changes whenever a share does."""
        ...

    def note(self, tenant: TenantId, kind: str, per_minute: int) -> None:
        """An organisation asked, whose whole limit this is."""
        ...

    def share(self, kind: str, tenant: TenantId | None = None) -> int:
        """In per cent, for one kind of request; None for what is nobody's."""
        ...


class NoLoad(Load):
    """For a process that does not measure itself."""

    @property
    @override
    def version(self) -> int:
        return 0

    @override
    def note(self, tenant: TenantId, kind: str, per_minute: int) -> None:
        pass

    @override
    def share(self, kind: str, tenant: TenantId | None = None) -> int:
        return WHOLE


class LimitLevels:
    """Reads the table; the levels of a request come from the widest to the narrowest.

    While this process is overloaded each number is a share of what the table says; of those who ask
    for most of theirs first. The counters are
    the same: what is asked here then costs more of them, so that all processes together never grant
    more than the whole.
    """

    def __init__(
        self,
        settings: Callable[[], LimitSettings],
        policy: LimitsPolicy | None = None,
        load: Load | None = None,
    ) -> None:
        self._settings = settings
        self._policy = policy or limits_policy()
        self._load = load or NoLoad()

    @property
    def settings(self) -> LimitSettings:
        """As they are now."""
        return self._settings()

    @property
    def load_version(self) -> int:
        """Numbers that were read at another one are others now."""
        return self._load.version

    def note(self, level: Level) -> None:
        """A request counts at this level, whatever becomes of it."""
        if level.name is LevelName.TENANT and level.tenant is not None:
            self._load.note(level.tenant, level.kind, level.whole)

    def held(self, what: Held, rates: RateClaims) -> int:
        """How much of it an organisation may hold at once, by what is known of its plan."""
        return self._number(rates, what, int(getattr(self._tier(rates.plan).holds, what)))

    def of_person(self, person: Person, kind: LimitKind, address: str) -> list[Level]:
        """A request or a stream of somebody whose token was verified."""
        tier = self._tier(person.rates.plan)
        own = self._tier(person.rates.tier or person.rates.plan)
        levels = list(self._of_anybody(kind, address))
        if kind not in _SETTING_OF_USER:
            return levels
        per_minute = _rate(tier.tenant, kind)
        if kind is LimitKind.GENERAL:
            per_minute = self._number(person.rates, "tenant_per_minute", per_minute)
        levels += self._level(LevelName.TENANT, kind, person.tenant, "", per_minute)
        name = _SETTING_OF_USER[kind]
        per_minute = self._number(person.rates, name, _rate(own.user, kind))
        levels += self._level(LevelName.USER, kind, person.tenant, str(person.user), per_minute)
        return levels

    def of_stranger(self, kind: LimitKind, address: str) -> list[Level]:
        """A request of somebody who need not say who they are."""
        return list(self._of_anybody(kind, address))

    def of_account(self, account: str) -> list[Level]:
        """An attempt to log in to an account; who asked was counted before."""
        kind = LimitKind.IDENTITY
        rate = _rate(self._policy.account, kind)
        return list(self._level(LevelName.ACCOUNT, kind, None, account, rate))

    def of_trading_account(self, tenant: TenantId, account: str) -> list[Level]:
        """An order for a broker account; who placed it was counted before.

        Whose account it is need not be known: a counter of an account that there is not, or of
        another organisation, is this organisation's own.
        """
        kind = LimitKind.TRADING
        rate = _rate(self._policy.trading_account, kind)
        return list(self._level(LevelName.TRADING_ACCOUNT, kind, tenant, account, rate))

    def of_device(self, device: Device, address: str) -> list[Level]:
        """A connection of a device."""
        kind, tier = LimitKind.LINKS, self._tier(device.rates.plan)
        rate = self._number(device.rates, "connections_per_minute", _rate(tier.device, kind))
        of_tenant = _rate(tier.tenant, kind)
        return [
            *self._of_anybody(kind, address),
            *self._level(LevelName.TENANT, kind, device.tenant, "", of_tenant),
            *self._level(LevelName.DEVICE, kind, device.tenant, str(device.device), rate),
        ]

    def of_device_request(self, device: Device) -> list[Level]:
        """A request that a device signed; where it came from was counted before."""
        kind, tier = LimitKind.GENERAL, self._tier(device.rates.plan)
        rate, whose = _rate(tier.device, kind), str(device.device)
        return list(self._level(LevelName.DEVICE, kind, device.tenant, whose, rate))

    def _of_anybody(self, kind: LimitKind, address: str) -> Iterator[Level]:
        policy = self._policy
        yield from self._level(LevelName.PLATFORM, kind, None, "", _rate(policy.platform, kind))
        if customer := customer_of(address):
            rate = _rate(policy.address, kind)
            yield from self._level(LevelName.ADDRESS, kind, None, customer, rate)

    def _level(
        self,
        name: LevelName,
        kind: LimitKind,
        tenant: TenantId | None,
        whose: str,
        per_minute: int,
    ) -> Iterator[Level]:
        if per_minute > 0:
            left = max(1, per_minute * self._load.share(kind, tenant) // WHOLE)
            yield Level(name, kind, tenant, whose, left, per_minute)

    def _tier(self, plan: str) -> TierLimits:
        return self._policy.tiers.get(plan) or self._policy.tiers[STANDARD]

    def _number(self, rates: RateClaims, setting: str, of_tier: int) -> int:
        granted = rates.granted.get(setting, 0)
        return granted or int(getattr(self.settings, setting)) or of_tier


@lru_cache(maxsize=4_096)
def customer_of(address: str) -> str:
    """Whom an address belongs to: itself, or the /64 of IPv6; empty for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_CUSTOMER_BITS), strict=False))


def _rate(rates: Rates, kind: LimitKind) -> int:
    return int(getattr(rates, kind))
