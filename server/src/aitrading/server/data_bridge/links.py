"""All device links: who may connect, one link per device, revocation, heartbeat."""

from typing import Final
from uuid import UUID

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener

from aitrading.core.infrastructure.error_handler import ErrorHandler, IsolationPolicy
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import (
    DeviceRevoked,
    DeviceSettingsChanged,
    SubscriptionChanged,
)
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience.errors import ISOLATED
from aitrading.core.infrastructure.tracing import ConnectionTrace, RequestTracer
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.core.kit.ids import DeviceId, IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.protocol.error_codes import (
    LINK_DEVICE_REFUSED,
    LINK_DEVICE_SHARED,
    LINK_GOING_AWAY,
    LINK_OVERLOADED,
    LINK_SUBSCRIPTION_INACTIVE,
    LINK_SUPERSEDED,
    LINK_UNCHECKED,
)
from aitrading.core.protocol.link.events import Gap
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import (
    LinkLimits,
    Refusal,
    ServerProfile,
    ServerSession,
)
from aitrading.core.protocol.tracecontext import TRACEPARENT
from aitrading.core.security.certificates import ForwardedDevice, parse_forwarded_device
from aitrading.server.data_bridge.call_sites import DEVICE_ISOLATION, SPOOL_HALT
from aitrading.server.data_bridge.connections import milliseconds
from aitrading.server.data_bridge.device_link import DeviceLink, Opened
from aitrading.server.data_bridge.errors import (
    BRIDGE_LINKS_FULL,
    BRIDGE_LINKS_OFF,
    LINK_IDENTITY_MISSING,
)
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.link_refusals import RETRY_REFUSED_MS, LinkRefusals
from aitrading.server.data_bridge.lives import Lives
from aitrading.server.data_bridge.metrics import LINKS, LINKS_ENDED, LINKS_OPENED, TICKS_MISSING
from aitrading.server.data_bridge.ports import DeviceRegister, DeviceStatus
from aitrading.server.data_bridge.rights import REFUSALS, Rights
from aitrading.server.data_bridge.settings import BridgeSettings
from aitrading.server.data_bridge.shares import Shares, SpoolShares
from aitrading.server.data_bridge.streams import BridgeStream, StreamDirectory
from aitrading.server.data_bridge.truth import TruthKeeper
from aitrading.server.data_bridge.unix_websocket import refuse
from aitrading.server.kit.client_address import client_address
from aitrading.server.kit.connections_api import Connection
from aitrading.server.kit.denials import Denials
from aitrading.server.kit.limit_levels import Device
from aitrading.server.kit.rate_limits import RateLimits

FORWARDED_CERTIFICATE: Final = "x-forwarded-client-cert"
LINK_PATH: Final = "/link"
POLL_S: Final = 0.1
RETRY_LATER_MS: Final = 2_000
SETTLE_POLL_S: Final = 0.01
SOFTWARE: Final = "aitrading-server"

_log = get_logger(__name__)


class DeviceLinks:
    """The links of all devices.

    A device's right to connect is asked before its greeting is answered, again every
    `device_recheck_s` and when the organisation's subscription changes, and ends at once with
    `DeviceRevoked`. Whatever cannot be checked is refused. A plan that does not count, or a minute
    without identity's word, stops market data alone: the link is held, and made anew afterwards.
    """

    def __init__(  # noqa: PLR0913 - the meeting point of the link's parts
        self,
        *,
        ingest: TickIngest,
        streams: StreamDirectory,
        rates: RateLimits,
        shares: Shares,
        spool_shares: SpoolShares,
        tracer: RequestTracer,
        register: DeviceRegister,
        truth: TruthKeeper,
        denials: Denials,
        settings: BridgeSettings,
        bus: EventBus,
        errors: ErrorHandler,
        metrics: Metrics,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self.name = "device-links"
        self.depends_on = ("bus",)
        self._ingest = ingest
        self._streams = streams
        self._rates = rates
        self._shares = shares
        self._spool_shares = spool_shares
        self._tracer = tracer
        self._register = register
        self._truth = truth
        truth.links = lambda: tuple(self._links.values())
        self._settings = settings
        self._refusals = LinkRefusals(denials, settings)
        self._bus = bus
        self._errors = errors
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._links: dict[DeviceId, DeviceLink] = {}
        self._all: set[DeviceLink] = set()
        self._rights = Rights(register, shares, clock)
        self._lives = Lives(clock, quiet_ns=round(settings.shared_quiet_s * NS_PER_S))
        self._changes = 0
        """How often a plan or a device's right changed; an answer from before that is asked for again."""
        self._tasks = TaskSet(self.name, on_error=lambda _, exc: errors.classify(exc) and None)
        self._subscriptions: list[Subscription] = []
        self._state = ComponentState.NEW
        self._isolation = IsolationPolicy(
            faults_limit=settings.faults_limit, isolate_s=settings.isolate_s
        )
        self._limits = LinkLimits(
            window_ticks=settings.window_ticks,
            ping_interval_ms=settings.ping_interval_s * 1_000,
            idle_timeout_ms=settings.ping_interval_s * 2_500,
        )

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    @property
    def limits(self) -> LinkLimits:
        """What a link may use."""
        return self._limits

    def __len__(self) -> int:
        return len(self._links)

    def is_connected(self, device: DeviceId) -> bool:
        """The device has an open link."""
        return device in self._links

    async def start(self) -> None:
        """Listen for revocations and keep the links' time."""
        self._errors.declare(DEVICE_ISOLATION, SPOOL_HALT)
        self._subscriptions = [
            await self._bus.subscribe(DeviceRevoked, self._on_revoked),
            await self._bus.subscribe(SubscriptionChanged, self._on_subscription),
            await self._bus.subscribe(DeviceSettingsChanged, self._on_settings),
        ]
        if not self._settings.mt5_websocket_enabled:
            _log.warning("no device may connect", error=BRIDGE_LINKS_OFF.error())
        self._tasks.keep(self._keep_time, name="time", clock=self._clock)
        self._tasks.keep(self._recheck, name="recheck", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Tell every device that the bridge goes away."""
        self._state = ComponentState.STOPPING
        self.close_all(LINK_GOING_AWAY)
        for subscription in self._subscriptions:
            await subscription.close()
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    def upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """A listener for a new connection, or the refusal; identity is checked by its task."""
        trace = ConnectionTrace(
            self._tracer, LINK_PATH, request.headers.get(TRACEPARENT), ids=self._ids
        )
        try:
            device = self._device_with_room(request.headers.get(FORWARDED_CERTIFICATE, ""))
        except AitradingError as exc:
            with trace.greeting() as part:
                part.fail(exc)
            return refuse(exc, request, self._ids, trace.trace)
        identity = device.identity
        profile = ServerProfile(
            tenant=identity.tenant,
            device=identity.device,
            software=SOFTWARE,
            limits=self._limits,
        )
        link = DeviceLink(
            device,
            ServerSession(self._clock, profile),
            self._ingest,
            self._on_gap,
            self._truth.told,
            trace,
            connection=self._ids.new(),
            since_ns=self._clock.now_ns(),
            address=client_address(request.headers),
        )
        self._tasks.start(self._serve(link), name=f"link-{identity.device}")
        return link

    def _device_with_room(self, certificate: str) -> ForwardedDevice:
        """Whose link may greet; raises why none may now, or why this one may not."""
        if not self._settings.mt5_websocket_enabled:
            raise BRIDGE_LINKS_OFF.error()
        if self._state is not ComponentState.HEALTHY or self._errors.halts:
            raise LINK_OVERLOADED.error()
        try:
            device = parse_forwarded_device(certificate)
        except AitradingError as exc:
            raise LINK_IDENTITY_MISSING.error() from exc
        if len(self._all) >= self._settings.links_max:
            raise BRIDGE_LINKS_FULL.error(count=len(self._all), limit=self._settings.links_max)
        tenant = device.identity.tenant  # as many as may be connected, and again that greet
        sockets = sum(one.device.identity.tenant == tenant for one in self._all)
        self._shares.require_link(tenant, sockets, times=2)
        return device

    def connections(self, tenant: TenantId) -> list[Connection]:
        """The organisation's links that finished their greeting."""
        return [
            Connection(
                id=link.connection,
                device=link.device.identity.device,
                since_ns=link.since_ns,
                round_trip_ms=milliseconds(link.round_trip_ns),
                feeds=len(link.streams),
                unconfirmed=link.unconfirmed,
            )
            for link in self._links.values()
            if link.device.identity.tenant == tenant
        ]

    def end(self, tenant: TenantId, connection: UUID) -> bool:
        """Close one link of the organisation; the device comes back after a while."""
        for link in self._links.values():
            if (link.device.identity.tenant, link.connection) == (tenant, connection):
                link.close(LINK_GOING_AWAY, retry_after_ms=RETRY_LATER_MS)
                return True
        return False

    def close_all(self, spec: ErrorSpec, *, retry_after_ms: int = 0) -> None:
        """End every link, those in their greeting too."""
        for link in tuple(self._all):
            link.close(spec, retry_after_ms=retry_after_ms)

    async def _serve(self, link: DeviceLink) -> None:
        """A link's whole life; its end by the device's own fault counts against the device."""
        identity = link.device.identity
        self._all.add(link)
        with bind_context(tenant=str(identity.tenant)):
            try:
                await self._errors.isolate(
                    DEVICE_ISOLATION,
                    str(identity.device),
                    lambda: self._live(link),
                    self._isolation,
                )
            except AitradingError as exc:
                if exc.spec is ISOLATED:  # nobody looked at its greeting
                    with link.trace.greeting(str(identity.tenant)) as part:
                        part.fail(exc)
                self._refuse(link, exc)
            finally:
                self._all.discard(link)
                self._forget(link)

    async def _live(self, link: DeviceLink) -> None:
        """Answer the link's requests until it ends; raises the fault that ended it, if any."""
        try:
            await self._greeting(link)
        except AitradingError as exc:
            self._refuse(link, exc)
            await link.ended.wait()  # what it asked may wait already and must replace no good link
        else:
            await self._converse(link)
        if link.fault is not None:
            raise link.fault

    async def _converse(self, link: DeviceLink) -> None:
        while (declarations := await link.next_request()) is not None:
            try:
                await self._answer(link, declarations)
            except AitradingError as exc:
                self._refuse(link, exc)

    async def _greeting(self, link: DeviceLink) -> None:
        """Count the link and answer its first request; raises why it is not to live."""
        identity = link.device.identity
        with link.trace.greeting(str(identity.tenant)):
            rates = self._shares.rates_of(identity.tenant)
            asking = Device(identity.tenant, identity.device, rates)
            await self._rates.admit_link(asking, address=link.address)
            if (declarations := await link.next_request()) is not None:
                await self._answer(link, declarations)
        if link.is_open:
            link.trace.opened(str(identity.tenant))

    async def _answer(self, link: DeviceLink, declarations: tuple[StreamDeclaration, ...]) -> None:
        if link.is_open:
            opened = await self._opened(link, declarations)
            await self._settle(link, opened)
            link.grant(opened)
            return
        changes = self._changes
        is_entitled = (await self._rights.require(link)).is_entitled
        link.held_by = None if is_entitled else LINK_SUBSCRIPTION_INACTIVE
        self._require_share(link)
        opened = await self._opened(link, declarations)
        if not link.ended.is_set():
            self._require_share(link)  # again: others may have come meanwhile
            self._take_over(link)
            await self._settle(link, opened)
            if link.is_held:  # since a moment ago
                opened = await self._opened(link, declarations)
        if self._links.get(link.device.identity.device) is link:
            link.accept(str(self._ids.new()), opened)
            if changes != self._changes:
                await self._check_again(link)

    async def _opened(
        self, link: DeviceLink, declarations: tuple[StreamDeclaration, ...]
    ) -> dict[int, Opened]:
        if link.held_by is not None:
            held = Refusal(link.held_by.code)
            return {declaration.handle: held for declaration in declarations}
        opened = await self._streams.open(link.device.identity, declarations)
        if link.is_held:  # since a moment ago
            return await self._opened(link, declarations)
        return {**opened}

    def _require_share(self, link: DeviceLink) -> None:
        """Raise when its organisation holds all it may; a device may always replace its own link."""
        identity = link.device.identity
        self._spool_shares.require_not_held_back(identity.tenant)
        others = (one.device.identity for one in self._links.values() if one is not link)
        self._shares.require_link(
            identity.tenant,
            sum(one.tenant == identity.tenant and one.device != identity.device for one in others),
        )

    def _take_over(self, link: DeviceLink) -> None:
        """One link per device: the newer one wins, the older one is probably dead."""
        device = link.device.identity.device
        older = self._links.get(device)
        try:
            self._lives.enter(device, link.life, is_linked=older is not None)
        except AitradingError as exc:
            self._tell_shared(link, older, exc)
            raise
        if older is not None:
            older.close(LINK_SUPERSEDED)
        self._links[device] = link
        self._metrics.increment(LINKS_OPENED)
        self._metrics.set(LINKS, len(self._links))
        _log.info("link opened", device=str(device))

    def _tell_shared(
        self, link: DeviceLink, other: DeviceLink | None, exc: AitradingError
    ) -> None:
        """Both clients, the operator's log and the organisation's audit trail hear of it."""
        identity = link.device.identity
        _log.critical(exc.message, device=str(identity.device), error=exc)
        if other is not None:
            other.warn(LINK_DEVICE_SHARED)
        telling = self._register.tell_shared(identity, address=link.address)
        self._tasks.start(telling, name=f"shared-{identity.device}")

    async def _settle(self, link: DeviceLink, opened: dict[int, Opened]) -> None:
        """Wait for what an older link brought: it must not answer for this one's ticks."""
        streams = [one for one in opened.values() if not isinstance(one, Refusal)]
        while not link.ended.is_set() and any(one.received > one.durable for one in streams):
            await self._clock.sleep(SETTLE_POLL_S)

    def _forget(self, link: DeviceLink) -> None:
        device = link.device.identity.device
        self._metrics.increment(LINKS_ENDED, reason=link.reason)
        link.trace.ended(link.reason, link.fault)
        if self._links.get(device) is link:
            del self._links[device]
            self._lives.left(device)
            self._rights.forget(device)
            self._metrics.set(LINKS, len(self._links))
            _log.info("link ended", device=str(device), reason=link.reason)

    def _refuse(self, link: DeviceLink, exc: AitradingError) -> None:
        """Tell the device why, as far as it concerns the device; anything else is our trouble."""
        if link.ended.is_set():
            return
        told = self._refusals.told(exc)
        if told is None:
            self._errors.classify(exc)
            told = LINK_OVERLOADED, RETRY_LATER_MS
        spec, retry_after_ms = told
        link.close(spec, retry_after_ms=retry_after_ms)
        self._refusals.note(link.device.identity, link.address, exc)

    def _on_gap(self, stream: BridgeStream, gap: Gap) -> None:
        self._truth.sequences_missing(stream, gap.first_missing, gap.last_missing)
        missing = gap.last_missing - gap.first_missing + 1
        self._metrics.increment(TICKS_MISSING, missing)
        _log.warning(
            "ticks are missing for good",
            symbol=stream.symbol,
            stream=str(stream.id),
            first=gap.first_missing,
            last=gap.last_missing,
        )

    async def _on_revoked(self, event: DeviceRevoked, envelope: EventEnvelope) -> None:
        self._changes += 1
        link = self._links.get(event.device)
        if link is not None and link.device.identity.tenant == envelope.tenant:
            link.close(LINK_DEVICE_REFUSED)

    async def _on_subscription(self, event: SubscriptionChanged, envelope: EventEnvelope) -> None:
        self._changes += 1
        if event.user is None:
            for link in tuple(self._links.values()):
                if link.device.identity.tenant == envelope.tenant:
                    await self._check_again(link)

    async def _on_settings(self, event: DeviceSettingsChanged, envelope: EventEnvelope) -> None:
        for link in tuple(self._links.values()):
            identity = link.device.identity
            if identity.tenant == envelope.tenant and event.device in (None, identity.device):
                link.tell_settings()

    async def _keep_time(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            for link in tuple(self._all):
                self._poll(link)
            self._hold_unchecked()

    def _poll(self, link: DeviceLink) -> None:
        try:
            link.poll()
        except Exception as exc:  # noqa: BLE001 - one link's trouble is nobody else's
            self._errors.classify(exc)
            link.cut_off(LINK_OVERLOADED)

    async def _recheck(self) -> None:
        while True:
            await self._clock.sleep(self._settings.device_recheck_s)
            for link in tuple(self._links.values()):
                await self._check_again(link)

    async def _check_again(self, link: DeviceLink) -> None:
        try:
            status = await self._rights.require(link)
        except AitradingError as exc:
            if exc.spec in REFUSALS:
                link.close(exc.spec, retry_after_ms=RETRY_REFUSED_MS)
            else:
                self._rights.not_answered(link.device.identity.device)
        else:
            self._hold_or_renew(link, status)

    def _hold_or_renew(self, link: DeviceLink, status: DeviceStatus) -> None:
        if link.is_held is not status.is_entitled or link.ended.is_set():
            return
        identity = link.device.identity
        _log.info("plan looked at", device=str(identity.device), plan=status.subscription)
        if status.is_entitled:  # a new greeting tells both sides how far each stream is
            link.close(LINK_GOING_AWAY)
        else:
            link.hold(LINK_SUBSCRIPTION_INACTIVE)

    def _hold_unchecked(self) -> None:
        """Take no ticks of devices of which nobody knows any more that they may send."""
        for device in self._rights.outdated():
            link = self._links.get(device)
            if link is None or link.is_held:
                continue
            _log.warning("held until identity answers", device=str(device))
            if link.can_wait:
                link.hold(LINK_UNCHECKED)
            else:
                link.close(LINK_OVERLOADED, retry_after_ms=RETRY_REFUSED_MS)
