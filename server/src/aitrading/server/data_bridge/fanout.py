"""Quotes and feed states to everybody who listens, each tenant its own."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import msgspec
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener
from typing_extensions import override

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import BRIDGE_SUBSCRIBER, MARKET_DATA
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.tracing import ConnectionTrace, RequestTracer
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.protocol.tracecontext import TRACEPARENT
from aitrading.core.security.claims import Scope
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.data_bridge.connections import milliseconds
from aitrading.server.data_bridge.errors import (
    CONNECTION_ENDED,
    STREAM_SUBSCRIBERS_FULL,
    STREAM_TOKEN_EXPIRED,
)
from aitrading.server.data_bridge.feeds import JUDGED_AT_ONCE, Feed, FeedWatch
from aitrading.server.data_bridge.metrics import QUOTES_CONFLATED, QUOTES_SENT, SUBSCRIBERS
from aitrading.server.data_bridge.quotes import Quote, QuoteBoard, QuoteSource
from aitrading.server.data_bridge.settings import StreamSettings
from aitrading.server.data_bridge.shares import Shares
from aitrading.server.data_bridge.subscriber import Sent, Subscriber, SubscriberHub
from aitrading.server.data_bridge.unix_websocket import refuse
from aitrading.server.data_bridge.viewers import SHOWN_AGAIN, Viewers
from aitrading.server.data_bridge.waiting_quotes import Round, TickRun, WaitingQuote
from aitrading.server.kit.authentication import Authenticator, Identified, RequestHead, folded
from aitrading.server.kit.both_clocks import AtMost
from aitrading.server.kit.client_address import client_address
from aitrading.server.kit.connections_api import Connection
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.kit.subscription_gate import REMEMBERED_S, SubscriptionGate

STREAM_PATH: Final = "/api/v1/stream"
EXPIRY_CHECK_S: Final = 1.0
LOOK_AGAIN_S: Final = 1.0
PLAN_CHECK_S: Final = REMEMBERED_S / 2
TASKS_MAX: Final = 300_000
"""An admission, a look at the plan and a sender for as many as `stream.subscribers_max` can be."""
_encoder: Final = msgspec.json.Encoder()


class FanOut(SubscriberHub):
    """All subscribers.

    A quote goes out once per `conflation_ms`, the newest of its symbol; a subscriber whose socket
    is slow gets the newest again as soon as it takes data. A stream ends with its token or
    its session (4401). Whose subscription does not count is told the states of feeds alone.
    """

    def __init__(  # noqa: PLR0913 - the meeting point of the streams' parts
        self,
        *,
        board: QuoteBoard,
        feeds: FeedWatch,
        authenticator: Authenticator,
        revoked: RevokedTokens,
        rates: RateLimits,
        shares: Shares,
        viewers: Viewers,
        gate: SubscriptionGate,
        tracer: RequestTracer,
        settings: Callable[[], StreamSettings],
        chains: ChainRegistry,
        metrics: Metrics,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self.name = "fan-out"
        self._board = board
        self._feeds = feeds
        self._authenticator = authenticator
        self._look = asyncio.Event()
        revoked.on_change = self._look.set
        self._rates = rates
        self._shares = shares
        self._viewers = viewers
        gate.on_change = self._plan_changed
        self._tracer = tracer
        self._settings = settings
        self._chains = chains
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._tasks = TaskSet(self.name, limit=TASKS_MAX)
        self._state = ComponentState.NEW
        self._tenants: dict[TenantId, set[Subscriber]] = {}
        self._open: Counter[TenantId] = Counter()
        self._count = 0
        self._newest: dict[TenantId, dict[str, WaitingQuote]] = {}
        """What the next round tells, however many listen."""
        self._every_tick: set[Subscriber] = set()
        self._wake = asyncio.Event()

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    def __len__(self) -> int:
        return self._count

    async def start(self) -> None:
        """Send rounds, end expired and revoked streams, keep silent ones alive."""
        self._tasks.keep(self._rounds, name="rounds", clock=self._clock)
        self._tasks.keep(self._expiry, name="expiry", clock=self._clock)
        self._tasks.keep(self._revocations, name="revocations", clock=self._clock)
        self._tasks.keep(self._plans, name="plans", clock=self._clock)
        self._tasks.keep(self._look_again, name="look-again", clock=self._clock)
        self._tasks.keep(self._heartbeat, name="heartbeat", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Close every stream."""
        self._state = ComponentState.STOPPING
        for subscriber in self._everybody():
            subscriber.close(STREAM_SUBSCRIBERS_FULL)
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    def upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """A listener for a person who proved to be one, or the refusal."""
        headers = folded(request.headers.items())
        trace = ConnectionTrace(self._tracer, STREAM_PATH, headers.get(TRACEPARENT), ids=self._ids)
        try:
            path = request.path.decode("latin-1").partition("?")[0]
            head = RequestHead(headers=headers, path=path, route=STREAM_PATH, websocket=True)
            found = self._authenticator.identify(head)
            self._authenticator.require(found, Scope.READ)
            if self._state is not ComponentState.HEALTHY or self._is_full():
                raise STREAM_SUBSCRIBERS_FULL.error(
                    count=self._count, limit=self._settings().subscribers_max
                )
            token = found.token
            self._shares.require_stream(token.rates, self._open[token.tenant])
        except AitradingError as exc:
            with trace.greeting() as part:
                part.fail(exc)
            return refuse(exc, request, self._ids, trace.trace)
        return Subscriber(
            found,
            self,
            trace,
            connection=self._ids.new(),
            since_ns=self._clock.now_ns(),
            ends=AtMost.until(self._clock, token.expires_ns),
            address=client_address(headers),
        )

    def connections(self, tenant: TenantId) -> list[Connection]:
        """The open streams of an organisation's people."""
        return [
            Connection(
                id=one.connection,
                user=one.token.user,
                since_ns=one.since_ns,
                round_trip_ms=milliseconds(one.round_trip_ns),
                unconfirmed=one.waiting,
            )
            for one in self._tenants.get(tenant, ())
        ]

    def end(self, tenant: TenantId, connection: UUID) -> bool:
        """Close one stream of the organisation with 4409."""
        for one in tuple(self._tenants.get(tenant, ())):
            if one.connection == connection:
                one.close(CONNECTION_ENDED)
                return True
        return False

    def ticks(self, source: QuoteSource, batch: TickBatch, state: FeedState) -> None:
        """Offer what is new of a stream to the subscribers of its tenant."""
        stream = source.stream
        tenant = stream.device.tenant
        subscribers = self._tenants.get(tenant)
        if not subscribers:
            return
        newest = self._newest.setdefault(tenant, {})
        if stream.symbol in newest:
            self._metrics.increment(QUOTES_CONFLATED)
        newest[stream.symbol] = WaitingQuote(
            stream.symbol, source.received_ns, lambda: source.quote(state)
        )
        if wanting := [
            one
            for one in subscribers & self._every_tick
            if one.is_open and not one.is_held and one.wants(stream.symbol)
        ]:
            run = TickRun(source, batch, state)
            for subscriber in wanting:
                subscriber.offer_all(run)
                self._let_send(subscriber)
        self._wake.set()

    def feed_changed(self, tenant: TenantId, feed: Feed) -> None:
        """Tell the tenant's subscribers at once."""
        subscribers = self._tenants.get(tenant)
        if not subscribers:
            return
        text = _encoder.encode(feed)
        for subscriber in subscribers:
            if subscriber.wants(feed.symbol):
                subscriber.send(text)

    @override
    def joined(self, subscriber: Subscriber) -> None:
        self._count += 1
        self._open[subscriber.token.tenant] += 1
        self._metrics.set(SUBSCRIBERS, self._count)
        if subscriber.found.proof is None:
            self._let_in(subscriber)
        self._tasks.start(self._admission(subscriber), name="admission")

    @override
    def left(self, subscriber: Subscriber) -> None:
        self._tenants.get(subscriber.token.tenant, set()).discard(subscriber)
        self._every_tick.discard(subscriber)
        if subscriber.sender is not None:
            subscriber.sender.cancel()
        self._count -= 1
        self._open -= Counter((subscriber.token.tenant,))
        self._metrics.set(SUBSCRIBERS, self._count)
        subscriber.trace.ended(subscriber.closed_by)

    @override
    def changed(self, subscriber: Subscriber) -> None:
        if subscriber.every_tick:
            self._every_tick.add(subscriber)
        else:
            self._every_tick.discard(subscriber)
        if subscriber.waiting:
            self._let_send(subscriber)

    @override
    def answered(self, subscriber: Subscriber) -> None:
        subscriber.round_trip_ns = self._clock.monotonic_ns() - subscriber.pinged_ns

    @override
    def verify(self, token: str, old: Identified) -> tuple[VerifiedToken, AtMost]:
        fresh = self._authenticator.renewed(token, old)
        ends = AtMost.until(self._clock, fresh.expires_ns)
        if self._is_over(fresh, ends):
            raise TOKEN_REFUSED.error()
        fresh.require(Scope.READ)
        return fresh, ends

    async def _admission(self, subscriber: Subscriber) -> None:
        """End a socket that came too often (4429) before it has cost much.

        One whose proof was used before (4401) is never let in.
        """
        tenant = str(subscriber.token.tenant)
        try:
            with subscriber.trace.greeting(tenant):
                if subscriber.found.proof is not None:
                    await self._authenticator.spend(subscriber.found, Scope.READ)
                    self._let_in(subscriber)
                await self._rates.admit_stream(subscriber.token, address=subscriber.address)
        except AitradingError as exc:
            subscriber.close(exc.spec)
        else:
            if subscriber.is_open:
                subscriber.trace.opened(tenant)
            await self._look_at_plan(subscriber)

    def _let_in(self, subscriber: Subscriber) -> None:
        if subscriber.is_open:
            self._tenants.setdefault(subscriber.token.tenant, set()).add(subscriber)
            self._tasks.start(self._tell_feeds(subscriber), name="feeds")

    async def _look_at_plan(self, subscriber: Subscriber) -> None:
        """Show quotes, or stop showing them, by the person's subscription; the rest is told always."""
        subscriber.looks += 1
        look = subscriber.looks
        try:
            held = await self._viewers.held(subscriber.token)
        except AitradingError as exc:
            subscriber.close(exc.spec)
            return
        if look != subscriber.looks or not subscriber.is_open:
            return  # a later look knows better
        if held is not None:
            subscriber.hold()
            if held != subscriber.was_told:
                subscriber.send(_encoder.encode(held))
        elif subscriber.is_held:
            subscriber.is_held = False
            if subscriber.was_told is not None:
                subscriber.send(_encoder.encode(SHOWN_AGAIN))
                self._tasks.start(self._tell_feeds(subscriber), name="feeds")
            self._line_up_quotes(subscriber)
        subscriber.was_told = held

    def _plan_changed(self, tenant: TenantId, user: UUID | None) -> None:
        """A change of plans was told: look at once at whom it concerns."""
        for subscriber in self._tenants.get(tenant, ()):
            if user in (None, subscriber.token.user):
                self._tasks.start(self._look_at_plan(subscriber), name="plan")

    async def _plans(self) -> None:
        """Look again and again: a plan may end by its date, and news may get lost."""
        while True:
            await self._clock.sleep(PLAN_CHECK_S)
            for subscriber in self._everybody():
                await self._look_at_plan(subscriber)

    async def _tell_feeds(self, subscriber: Subscriber) -> None:
        """A few at once, and as fast as they are read: of thousands none is held back for later."""
        for told, name in enumerate(self._feeds.names_of(subscriber.token.tenant), start=1):
            feed = self._feeds.feed(name.key)
            if feed is not None:
                subscriber.send(_encoder.encode(feed))
            if told % JUDGED_AT_ONCE == 0:
                await self._clock.sleep(0)
                await subscriber.writable.wait()
            if not subscriber.is_open:
                return

    def _line_up_quotes(self, subscriber: Subscriber) -> None:
        """All of the organisation's, sent in the subscriber's turns; what ticks now comes behind."""
        now_ns = self._clock.monotonic_ns()
        for source in self._board.of_tenant(subscriber.token.tenant):
            subscriber.line_up(WaitingQuote(source.stream.symbol, now_ns, self._as_it_is(source)))
        if subscriber.waiting:
            self._let_send(subscriber)

    def _as_it_is(self, source: QuoteSource) -> Callable[[], Quote]:
        """The quote of this moment, told with the state of the moment in which it is sent."""
        now = replace(source)
        return lambda: now.quote(self._feeds.state(now.stream.feed_key))

    async def _rounds(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._round()
            if pause_ms := self._settings().conflation_ms:
                await self._clock.sleep(pause_ms / 1_000)

    def _round(self) -> None:
        newest, self._newest = self._newest, {}
        told = _Told(self._clock.monotonic_ns())
        for tenant, quotes in newest.items():
            this_round = Round(quotes)
            for subscriber in self._tenants.get(tenant, set()) - self._every_tick:
                if subscriber.is_held:
                    continue
                told.count(subscriber.send_round(this_round))
                if subscriber.waiting and subscriber.is_open:
                    self._let_send(subscriber)
        self._record(told)

    def _let_send(self, subscriber: Subscriber) -> None:
        """Give what waits for it to its sender, and a sender to one that has none."""
        subscriber.has_news.set()
        if subscriber.sender is None or subscriber.sender.done():
            subscriber.sender = self._tasks.start(self._send(subscriber), name="sender")

    async def _send(self, subscriber: Subscriber) -> None:
        """Send what waits for one subscriber, so much a turn that nobody else is held up."""
        while subscriber.every_tick or subscriber.waiting:
            await subscriber.has_news.wait()
            subscriber.has_news.clear()
            left = subscriber.waiting
            while (sent := self._turn(subscriber)) and (left := left - sent) > 0:
                await self._clock.sleep(0)
            await self._clock.sleep(self._settings().conflation_ms / 1_000)
            if sent and subscriber.waiting:
                subscriber.has_news.set()

    def _turn(self, subscriber: Subscriber) -> int:
        """Gives how many quotes were sent."""
        told = _Told(self._clock.monotonic_ns())
        told.add(subscriber.send_turn())
        self._record(told)
        if subscriber.conflated:
            self._metrics.increment(QUOTES_CONFLATED, subscriber.conflated)
            subscriber.conflated = 0
        return told.quotes

    def _record(self, told: "_Told") -> None:
        if told.quotes:
            self._metrics.increment(QUOTES_SENT, told.quotes)
            self._chains.record(
                MARKET_DATA, BRIDGE_SUBSCRIBER, told.began_ns - told.oldest_ns, count=told.quotes
            )

    async def _expiry(self) -> None:
        while True:
            await self._clock.sleep(EXPIRY_CHECK_S)
            self._look.set()

    async def _revocations(self) -> None:
        """End at once what was just revoked, however many revocations came together."""
        while True:
            await self._look.wait()
            self._look.clear()
            for subscriber in self._everybody():
                if self._is_over(subscriber.token, subscriber.ends):
                    subscriber.close(STREAM_TOKEN_EXPIRED)

    async def _look_again(self) -> None:
        while True:
            await self._clock.sleep(LOOK_AGAIN_S)
            await self._viewers.look_again()

    async def _heartbeat(self) -> None:
        while True:
            await self._clock.sleep(self._settings().heartbeat_s)
            for subscriber in self._everybody():
                subscriber.pinged_ns = self._clock.monotonic_ns()
                subscriber.ping()

    def _is_over(self, token: VerifiedToken, ends: AtMost) -> bool:
        """The token ended, by one of both clocks, or the person logged out."""
        return ends.is_over(self._clock) or self._authenticator.is_revoked(token)

    def _everybody(self) -> list[Subscriber]:
        return [one for subscribers in self._tenants.values() for one in subscribers]

    def _is_full(self) -> bool:
        return self._count >= self._settings().subscribers_max


class _Told:
    """What was told in one go."""

    def __init__(self, began_ns: int) -> None:
        self.began_ns = self.oldest_ns = began_ns
        self.quotes = 0

    def count(self, sent: Sequence[WaitingQuote]) -> None:
        """Add what one subscriber was sent in a round."""
        self.quotes += len(sent)
        for quote in sent:
            self.oldest_ns = min(self.oldest_ns, quote.received_ns)

    def add(self, sent: Sent) -> None:
        """Add what one subscriber was sent in its turn."""
        self.quotes += sent.quotes
        if sent.quotes:
            self.oldest_ns = min(self.oldest_ns, sent.oldest_ns)
