"""The trading API while there is no engine: what it says is true, and no order passes."""

from decimal import Decimal
from typing import Final, Protocol

import msgspec

from aitrading.core.infrastructure.events import Side
from aitrading.core.kit.clock import rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import AccountId, TenantId
from aitrading.core.security.claims import Scope
from aitrading.core.security.subscription import SUBSCRIPTION_INACTIVE
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers, proved_recently, scope
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.subscription_gate import SUBSCRIPTION_UNKNOWN, SubscriptionGate
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.trading_engine.device_gate import BarredDevice, DeviceGate
from aitrading.server.trading_engine.errors import (
    DEVICE_BARRED,
    DEVICE_UNKNOWN,
    KILL_RELEASE_NOT_AVAILABLE,
    TRADING_NOT_AVAILABLE,
)
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.kill_switch import Engagement, KillSwitches
from aitrading.server.trading_engine.trading_switch import HaltReason, TradingState, TradingSwitch


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A broker account of the tenant; what it may do is `trading`, always HALTED in this release."""

    id: str
    name: str
    broker_server: str
    login: str
    currency: str
    margin_mode: str
    simulated: bool
    trading: TradingState = TradingState.HALTED


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's accounts."""

    items: list[Account]


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's kill switch."""

    engaged: bool
    engaged_by: str | None = None
    engaged_at: str | None = None


class KillOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organisation, by id, whose trading the host's administrator stops."""

    tenant: str


class FeedTrust(msgspec.Struct, frozen=True, kw_only=True):
    """One feed as risk sees it: only LIVE would allow new exposure."""

    symbol: str
    device: str
    state: str
    reason: str
    since: str


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between an order and the market."""

    trading: TradingState
    reasons: list[HaltReason]
    kill: Kill
    feeds: list[FeedTrust]


class BarredDevices(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that may open nothing new: their clients reported altered files."""

    items: list[BarredDevice]


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """An empty list, and why it is empty."""

    trading: TradingState
    reasons: list[HaltReason]
    items: list[str] = []


VOLUME_MIN: Final = Decimal("0.00001")
VOLUME_MAX: Final = 1_000_000
"""Lots that no broker steps below or goes beyond; what an account takes is the risk's to say."""


class AccountBook(Protocol):
    """Where accounts are looked up, under the tenant's row security."""

    async def of_tenant(self, tenant: TenantId) -> list[Account]:
        """Every account of the tenant, ordered by broker and login."""
        ...


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants to trade."""

    symbol: str
    side: Side
    volume: Decimal
    account: AccountId | None = None
    """Who has one account only need not name it."""

    def __post_init__(self) -> None:
        if not (self.volume.is_finite() and VOLUME_MIN <= self.volume <= VOLUME_MAX):
            raise ValueError(f"`volume` is no number of lots from {VOLUME_MIN} to {VOLUME_MAX}")


class TradingEndpoints:
    """Handlers of `/api/v1/orders`, `/positions`, `/accounts`, `/risk`, `/signals`, `/kill`."""

    def __init__(
        self,
        switch: TradingSwitch,
        kill_switches: KillSwitches,
        feeds: FeedWatch,
        accounts: AccountBook,
        subscriptions: SubscriptionGate,
        devices: DeviceGate,
    ) -> None:
        self._switch = switch
        self._kill_switches = kill_switches
        self._feeds = feeds
        self._accounts = accounts
        self._subscriptions = subscriptions
        self._devices = devices

    @endpoint(
        "POST",
        "/api/v1/orders",
        access=scope(Scope.TRADE),
        limit=LimitKind.TRADING,
        summary="Place an order. Needs a subscription that counts; refused while trading is HALTED.",
        body=OrderRequest,
        errors=(
            SUBSCRIPTION_INACTIVE,
            SUBSCRIPTION_UNKNOWN,
            DEVICE_BARRED,
            DEVICE_UNKNOWN,
            TRADING_NOT_AVAILABLE,
        ),
    )
    async def place_order(self, call: Call) -> None:
        """Refuse: nothing is stored and nothing is sent."""
        request = await call.json(OrderRequest)
        await call.limits.admit_trading(
            call.token.tenant, str(request.account or f"user:{call.token.user}")
        )
        await self._subscriptions.require(call.token)
        await self._devices.require(call.token.tenant, request.account)
        raise self._refusal()

    @endpoint(
        "DELETE",
        "/api/v1/orders/{order}",
        access=scope(Scope.TRADE),
        limit=LimitKind.EXEMPT,
        summary="Cancel an order. There are none while trading is HALTED.",
        errors=(TRADING_NOT_AVAILABLE,),
    )
    async def cancel_order(self, _: Call) -> None:
        """Refuse: there is no order that could be cancelled."""
        raise self._refusal()

    @endpoint(
        "GET",
        "/api/v1/orders",
        access=scope(Scope.READ),
        summary="Orders of the tenant: none, and why.",
        answer=Nothing,
    )
    async def orders(self, _: Call) -> Nothing:
        """None were ever accepted."""
        return self._nothing()

    @endpoint(
        "GET",
        "/api/v1/positions",
        access=scope(Scope.READ),
        summary="Positions opened by the platform: none, and why.",
        answer=Nothing,
    )
    async def positions(self, _: Call) -> Nothing:
        """None were ever opened."""
        return self._nothing()

    @endpoint(
        "GET",
        "/api/v1/signals",
        access=scope(Scope.READ),
        summary="Signals sent to devices: none, and why.",
        answer=Nothing,
    )
    async def signals(self, _: Call) -> Nothing:
        """None were ever sealed."""
        return self._nothing()

    @endpoint(
        "GET",
        "/api/v1/accounts",
        access=scope(Scope.READ),
        summary="Broker accounts of the tenant.",
        answer=Accounts,
    )
    async def accounts(self, call: Call) -> Accounts:
        """Read them under the tenant's row security."""
        return Accounts(items=await self._accounts.of_tenant(call.token.tenant))

    @endpoint(
        "GET",
        "/api/v1/risk",
        access=scope(Scope.READ),
        summary="Why trading is halted, the kill switch, and which feeds can be trusted.",
        answer=Risk,
    )
    async def risk(self, call: Call) -> Risk:
        """Everything that would stop an order now."""
        tenant = call.token.tenant
        return Risk(
            trading=self._switch.state,
            reasons=list(self._switch.reasons),
            kill=_kill(self._kill_switches.engagement(tenant)),
            feeds=[
                FeedTrust(
                    symbol=feed.symbol,
                    device=str(feed.device),
                    state=feed.state,
                    reason=feed.reason,
                    since=rfc3339_of_ns(feed.since_ns),
                )
                for feed in self._feeds.of_tenant(tenant)
            ],
        )

    @endpoint(
        "GET",
        "/api/v1/risk/devices",
        access=scope(Scope.READ),
        summary="Devices that may open nothing new: their clients reported altered files.",
        answer=BarredDevices,
    )
    async def barred_devices(self, call: Call) -> BarredDevices:
        """Read them under the tenant's row security."""
        return BarredDevices(items=await self._devices.barred(call.token.tenant))

    @endpoint(
        "GET",
        "/api/v1/kill",
        access=scope(Scope.READ),
        limit=LimitKind.EXEMPT,
        summary="Whether the tenant's kill switch is engaged.",
        answer=Kill,
    )
    async def kill_state(self, call: Call) -> Kill:
        """Look at the switch."""
        return _kill(self._kill_switches.engagement(call.token.tenant))

    @endpoint(
        "POST",
        "/api/v1/kill",
        access=scope(Scope.KILL),
        limit=LimitKind.EXEMPT,
        summary="Engage the kill switch. Needs no database; holds across restarts.",
        answer=Kill,
    )
    async def engage_kill(self, call: Call) -> Kill:
        """Engage; the answer means that it is on disk."""
        token = call.token
        return _kill(await self._kill_switches.engage(token.tenant, str(token.user)))

    @endpoint(
        "POST",
        "/internal/v1/admin/kill",
        access=peers(ADMIN_SERVICE),
        summary="Engage the kill switch of any organisation, suspended ones too.",
        body=KillOf,
        answer=Kill,
    )
    async def engage_kill_for_host(self, call: Call) -> Kill:
        """Engage in the name of the host's administrator; the answer means that it is on disk."""
        tenant = parse_tenant((await call.json(KillOf)).tenant)
        return _kill(await self._kill_switches.engage(tenant, HOST_ACTOR))

    @endpoint(
        "DELETE",
        "/api/v1/kill",
        access=proved_recently(scope(Scope.KILL)),
        summary="Release the kill switch. Refused: it needs a second person and a step-up.",
        errors=(KILL_RELEASE_NOT_AVAILABLE,),
    )
    async def release_kill(self, _: Call) -> None:
        """Refuse."""
        raise KILL_RELEASE_NOT_AVAILABLE.error()

    def _refusal(self) -> AitradingError:
        return TRADING_NOT_AVAILABLE.error(state=str(self._switch.state))

    def _nothing(self) -> Nothing:
        return Nothing(trading=self._switch.state, reasons=list(self._switch.reasons))


def _kill(engagement: Engagement | None) -> Kill:
    if engagement is None:
        return Kill(engaged=False)
    return Kill(
        engaged=True,
        engaged_by=engagement.engaged_by,
        engaged_at=rfc3339_of_ns(engagement.engaged_ns),
    )
