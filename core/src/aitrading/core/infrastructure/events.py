"""The typed events of the platform: facts that happened, and commands that ask for something.

Amounts are decimals and travel as strings; times are nanoseconds since the Unix epoch unless the
name says `_ms`. The tenant is on the envelope, never in the event.
"""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

import msgspec

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.infrastructure.error_dna import SimilarError
from aitrading.core.infrastructure.event_bus import Event
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.tracing.spans import TracePart
from aitrading.core.kit.errors import Impact, Severity
from aitrading.core.kit.ids import AccountId, DeviceId, UserId


class Side(StrEnum):
    """The direction of a trade."""

    BUY = "buy"
    SELL = "sell"


class TradingExecuted(Event, frozen=True, kw_only=True):
    """A broker executed an order (the device's signed report was verified)."""

    NAME: ClassVar[str] = "trading.executed"
    DURABLE: ClassVar[bool] = True

    account: AccountId
    order: UUID
    symbol: str
    side: Side
    volume: Decimal
    price: Decimal
    broker_ticket: str
    executed_ns: int


class RiskThresholdBreached(Event, frozen=True, kw_only=True):
    """A value crossed a limit; `action` says what the risk engine did about it."""

    NAME: ClassVar[str] = "risk.threshold_breached"
    DURABLE: ClassVar[bool] = True

    account: AccountId
    rule: str
    value: Decimal
    limit: Decimal
    action: str


class MarketDataReceived(Event, frozen=True, kw_only=True):
    """Ticks of one symbol arrived; one summary for many ticks, the ticks go their own way."""

    NAME: ClassVar[str] = "market_data.received"

    device: DeviceId
    symbol: str
    stream: str
    first_sequence: int
    last_sequence: int
    count: int
    bid: Decimal
    ask: Decimal
    event_ms: int


class MLPredictionGenerated(Event, frozen=True, kw_only=True):
    """A model predicted a price. The type is reserved: nothing in this release publishes it."""

    NAME: ClassVar[str] = "ml.prediction_generated"

    model: str
    model_version: str
    symbol: str
    horizon_s: int
    predicted_price: Decimal
    confidence: Decimal


class ExecuteTrade(Event, frozen=True, kw_only=True):
    """A command: bring an order to the broker, at most once per `client_order_id`."""

    NAME: ClassVar[str] = "trading.execute"

    account: AccountId
    client_order_id: str
    symbol: str
    side: Side
    volume: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    expires_ns: int | None = None


class UpdateRiskLimits(Event, frozen=True, kw_only=True):
    """A command: replace limits of one account; limits not named stay as they are."""

    NAME: ClassVar[str] = "risk.update_limits"

    account: AccountId
    limits: dict[str, Decimal]
    reason: str


class FeedStateChanged(Event, frozen=True, kw_only=True):
    """A symbol's feed became LIVE, DELAYED, STALE, CLOSED, UNKNOWN or DEAD."""

    NAME: ClassVar[str] = "feed.state_changed"

    device: DeviceId
    symbol: str
    previous: FeedState | None
    state: FeedState
    reason: str
    last_event_ms: int | None
    deadline_ms: int | None = None
    """Without news (`MarketDataReceived` is some) it is worse, or another one, from then on."""


class ServiceStateChanged(Event, frozen=True, kw_only=True):
    """A service or engine changed its component state."""

    NAME: ClassVar[str] = "service.state_changed"

    service: str
    instance: str
    previous: ComponentState | None
    state: ComponentState
    reason: str | None = None


class LimitsChanged(Event, frozen=True, kw_only=True):
    """A service grants less because work waits in it, or grants all again."""

    NAME: ClassVar[str] = "service.limits_changed"

    service: str
    instance: str
    reduced: bool
    percent: int
    """The least that was left of `general` limits so far."""
    wait_ms: int
    """The longest that work waited so far, on average over a second."""
    began_ns: int
    ended_ns: int | None


class HopMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of a chain as one process saw it since its last summary.

    `latency_buckets` counts those that passed, by the buckets of `infrastructure.latency`, so
    that summaries of several processes add up exactly.
    """

    hop: str
    count: int
    failed: int
    latency_buckets: dict[int, int]
    last_seen_ns: int
    last_trace_id: str | None = None


class ChainMeasured(Event, frozen=True, kw_only=True):
    """A process's summary of the hops it measures, published each second."""

    NAME: ClassVar[str] = "chain.measured"

    chain: str
    service: str
    instance: str
    hops: tuple[HopMeasured, ...]


class ErrorSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of error as one process saw it since its last summary; no text of a customer."""

    code: str
    fingerprint: str
    severity: Severity
    impact: Impact
    kind: str
    frames: tuple[str, ...]
    message: str
    count: int
    first_seen_ns: int
    last_seen_ns: int
    trace_id: str | None = None


class ErrorsSeen(Event, frozen=True, kw_only=True):
    """A process's summary of its errors, published each second while there are new ones."""

    NAME: ClassVar[str] = "error.seen"
    DURABLE: ClassVar[bool] = True

    service: str
    instance: str
    errors: tuple[ErrorSeen, ...]


class ErrorRecognised(Event, frozen=True, kw_only=True):
    """A new kind of error was compared with the earlier ones of its owner."""

    NAME: ClassVar[str] = "error.recognised"

    fingerprint: str
    similar: tuple[SimilarError, ...]


class DeviceRevoked(Event, frozen=True, kw_only=True):
    """A device's right to connect ended; its links are closed at once."""

    NAME: ClassVar[str] = "device.revoked"
    DURABLE: ClassVar[bool] = True

    device: DeviceId
    reason: str
    revoked_ns: int


class RaisedEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens of a person or an organisation from before this epoch are refused."""

    id: UUID
    epoch: int


class TokensRevoked(Event, frozen=True, kw_only=True):
    """Access tokens are refused before they end; told at once, and once a second what the newest is.

    `feed` is the process that counts, `number` its newest revocation. Who misses a number, or
    hears nothing, asks that process for everything that counts.
    """

    NAME: ClassVar[str] = "identity.tokens_revoked"

    feed: UUID
    number: int
    sessions: tuple[UUID, ...] = ()
    users: tuple[RaisedEpoch, ...] = ()
    organisations: tuple[RaisedEpoch, ...] = ()


class SubscriptionChanged(Event, frozen=True, kw_only=True):
    """What an organisation (`user` is None) or a person is entitled to changed: forget answers."""

    NAME: ClassVar[str] = "identity.subscription_changed"
    DURABLE: ClassVar[bool] = True

    user: UserId | None
    version: int


class DeviceSettingsChanged(Event, frozen=True, kw_only=True):
    """What a device (None: every one of the organisation) is to use changed: it may ask anew."""

    NAME: ClassVar[str] = "device.settings_changed"
    DURABLE: ClassVar[bool] = False

    device: UUID | None


class CollectTraces(Event, frozen=True, kw_only=True):
    """A command: take what this process did for some traces.

    Of the traces in `lost` a part was dropped for want of room.
    """

    NAME: ClassVar[str] = "trace.collect"

    parts: tuple[TracePart, ...]
    lost: tuple[str, ...] = ()


class TracesCollected(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `CollectTraces`: they are held, and will be kept or let go of."""

    parts: int


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """What one person, program or device was denied in one process, so and so often in this hour."""

    id: UUID
    """The same when it is told again."""
    tenant: UUID
    action: str
    actor: str
    subject: str
    reason: str
    count: int
    source: str
    occurred_ns: int
    """When it was first denied since it was last told."""
    trace_id: str | None = None


class RecordDenials(Event, frozen=True, kw_only=True):
    """A command: take what this process denied into the audit trail."""

    NAME: ClassVar[str] = "denial.record"

    service: str
    denials: tuple[Denied, ...]


class DenialsRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """They are in the trail and may be forgotten."""

    denials: int


ALL_EVENTS: tuple[type[Event], ...] = (
    TradingExecuted,
    RiskThresholdBreached,
    MarketDataReceived,
    MLPredictionGenerated,
    ExecuteTrade,
    UpdateRiskLimits,
    FeedStateChanged,
    ServiceStateChanged,
    LimitsChanged,
    ChainMeasured,
    ErrorsSeen,
    ErrorRecognised,
    DeviceRevoked,
    TokensRevoked,
    SubscriptionChanged,
    DeviceSettingsChanged,
    CollectTraces,
    RecordDenials,
)
"""Every event type, for the reference and for the stream that keeps the durable ones."""
