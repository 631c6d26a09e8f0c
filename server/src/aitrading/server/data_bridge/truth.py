"""What devices count, lose and repair, and outages of feeds, on their way to the database service.

What waits here is not on disk: a device tells its counts and losses again after each connection, and
a hole in a stream is noted by the database service itself. An outage that was under way when the
bridge died is told by the state of the feed after the start.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.sessions import MarketState
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.link.events import DaysTold, GapsTold
from aitrading.core.protocol.link.messages import DAY_MAX, GapNote, Repair
from aitrading.core.protocol.storable import storable
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.data_bridge.device_link import DeviceLink
from aitrading.server.data_bridge.feeds import Feed
from aitrading.server.data_bridge.ports import TickStore
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey
from aitrading.server.kit.feed_truth_api import (
    BRIDGE,
    CALENDAR_MS,
    DEVICE,
    ITEMS_MAX,
    REASON_CHARS_MAX,
    SEQUENCE_MAX,
    DayTold,
    FeedTruth,
    GapTold,
    RepairOrder,
    RepairTold,
)

ROUND_S: Final = 1.0
ASK_S: Final = 10.0
UNFED_LOOKS: Final = 6
"""Looks after which a gap of a symbol that its device does not feed is answered for an hour."""
REFUSALS_MAX: Final = 10
"""Rounds that a mistake between the services may last, such as a schema that is not migrated yet."""
OUTAGES_MAX: Final = 10_000
WAITING_MAX: Final = 4 * ITEMS_MAX
"""Different things of one kind that wait for one device; it tells again after each connection."""
T = TypeVar("T", bound=Hashable)
N = TypeVar("N")
BAD: Final = (FeedState.STALE, FeedState.DEAD)

_log = get_logger(__name__)


@dataclass
class _Waiting:
    """News of one device; a newer word about the same thing takes the place of the older."""

    days: dict[tuple[UUID, int], DayTold] = field(default_factory=dict)
    gaps: dict[UUID, GapTold] = field(default_factory=dict)
    repairs: dict[UUID, RepairTold] = field(default_factory=dict)
    refusals: int = 0
    """How often in a row the database service failed at them, and not for want of a connection."""

    def told_at_once(self) -> tuple["_Waiting", "_Waiting"]:
        """What fits into one message, and the rest."""

        def part(items: slice) -> _Waiting:
            return _Waiting(
                dict(list(self.days.items())[items]),
                dict(list(self.gaps.items())[items]),
                dict(list(self.repairs.items())[items]),
            )

        return part(slice(ITEMS_MAX)), part(slice(ITEMS_MAX, None))


@dataclass(frozen=True)
class _Outage:
    gap: GapTold
    last_sequence: int


class TruthKeeper:
    """Passes on what it is told, once a second; what is not taken waits for the next round."""

    def __init__(self, store: TickStore, board: QuoteBoard, clock: Clock) -> None:
        self.name = "feed-truth"
        self.links: Callable[[], Iterable[DeviceLink]] = tuple
        self._store = store
        self._board = board
        self._clock = clock
        self._waiting: defaultdict[DeviceIdentity, _Waiting] = defaultdict(_Waiting)
        self._outages: dict[FeedKey, _Outage] = {}
        self._unfed: dict[UUID, dict[UUID, int]] = {}
        """By device: gaps that its link does not feed, and in how many looks in a row."""
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the database service takes nothing."""
        return self._tasks.judged(self._state)

    @property
    def waiting(self) -> int:
        """How much news waits, of all devices."""
        return sum(
            len(each.days) + len(each.gaps) + len(each.repairs) for each in self._waiting.values()
        )

    async def start(self) -> None:
        """Pass on what comes."""
        self._tasks.keep(self._run, name="pass-on", clock=self._clock)
        self._tasks.keep(self._ask_all, name="repairs", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Pass on what is here, if it is taken at once."""
        await self._tasks.close()
        await self._pass_on()
        self._state = ComponentState.STOPPED

    def told(self, link: DeviceLink, event: DaysTold | GapsTold) -> None:
        """A device said something."""
        waiting = self._waiting[link.device.identity]
        if isinstance(event, DaysTold):
            for day in event.days.days:
                stream = link.stream(day.handle)
                if stream is not None and 0 <= day.day <= DAY_MAX:
                    news = DayTold(
                        stream=stream.id,
                        day=day.day,
                        ticks=day.ticks,
                        digest=day.digest,
                        last_sequence=day.last_sequence,
                        counted_from=day.counted_from,
                        is_over=day.is_over,
                    )
                    _keep(waiting.days, (stream.id, day.day), news)
            return
        for silent in event.gaps.feeds:
            if (stream := link.stream(silent.handle)) is not None:
                stream.silent_for(storable(silent.why[:REASON_CHARS_MAX]))
        for note in event.gaps.gaps:
            if gap := _gap(note):
                _keep(waiting.gaps, gap.id, gap)
        for done in event.gaps.repaired:
            if done.last <= SEQUENCE_MAX:
                repaired = RepairTold(
                    gap=done.gap,
                    stream=done.stream,
                    first=done.first,
                    last=done.last,
                    problem=storable(done.problem),
                )
                _keep(waiting.repairs, done.gap, repaired)

    def sequences_missing(self, stream: BridgeStream, first: int, last: int) -> None:
        """A device went on behind sequences that it does not have any more."""
        gap = GapTold(
            stream=stream.id,
            reason="the device does not have them any more",
            recorded_by=BRIDGE,
            noticed_ns=self._clock.now_ns(),
            first=first,
            last=last,
        )
        self._waiting[stream.device].gaps.setdefault(gap.id, gap)

    def feed_changed(self, stream: BridgeStream, before: FeedState | None, feed: Feed) -> None:
        """An outage begins where a feed with ticks goes bad in an open market, and ends with news."""
        key = stream.feed_key
        source = self._board.of_feed(stream.device.tenant, key)
        if source is None:
            return
        if feed.state in BAD and before not in BAD and feed.market is not MarketState.CLOSED:
            if key not in self._outages and len(self._outages) < OUTAGES_MAX:
                gap = GapTold(
                    stream=source.stream.id,
                    reason=f"the feed was {feed.state}: {feed.reason}"[:REASON_CHARS_MAX],
                    recorded_by=BRIDGE,
                    noticed_ns=self._clock.now_ns(),
                    from_ms=source.event_ms,
                )
                self._outages[key] = _Outage(gap, source.sequence)
                self._waiting[stream.device].gaps[gap.id] = gap
        elif feed.state is FeedState.LIVE and key in self._outages:
            self._end(stream, self._outages.pop(key), source.event_ms, source.sequence)

    def _end(self, stream: BridgeStream, outage: _Outage, event_ms: int, sequence: int) -> None:
        """A stream that goes on has read what its terminal remembers of the time in between."""
        gap = outage.gap
        same = gap.stream == stream.id and sequence > outage.last_sequence
        ended = GapTold(
            stream=gap.stream,
            reason=gap.reason,
            recorded_by=gap.recorded_by,
            noticed_ns=gap.noticed_ns,
            from_ms=gap.from_ms,
            until_ms=max(event_ms, gap.from_ms or 0),
            repair_first=outage.last_sequence + 1 if same else None,
            repair_last=sequence if same else None,
        )
        self._waiting[stream.device].gaps[ended.id] = ended

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(ROUND_S)
            await self._pass_on()

    async def _ask_all(self) -> None:
        """On its own: looking for what can be repaired takes as long as reading history does."""
        await self._clock.sleep(ROUND_S)
        while True:
            links = tuple(self.links())
            linked = {link.device.identity.device for link in links}
            self._unfed = {one: gaps for one, gaps in self._unfed.items() if one in linked}
            for link in links:
                await self._ask(link)
            await self._clock.sleep(ASK_S)

    async def _pass_on(self) -> None:
        for device in tuple(self._waiting):
            waiting = self._waiting.pop(device)
            now, rest = waiting.told_at_once()
            truth = FeedTruth(
                tenant=device.tenant,
                device=device.device,
                days=tuple(now.days.values()),
                gaps=tuple(now.gaps.values()),
                repairs=tuple(now.repairs.values()),
            )
            try:
                await self._store.tell_truth(truth)
            except AitradingError as exc:
                if exc.spec.category is Category.RETRYABLE:
                    self._keep_waiting(device, waiting, exc)
                    return
                waiting.refusals += 1
                if exc.spec.category is Category.FATAL and waiting.refusals < REFUSALS_MAX:
                    self._keep_waiting(device, waiting, exc)
                    continue  # one device's words hold up no other's
                _log.error(
                    "what a device told of its feeds was refused and is let go",
                    device=str(device.device),
                    error=exc,
                )
            except BaseException:  # the bridge stops, or something unforeseen: it was not told
                self._give_back(device, waiting)
                raise
            self._state = ComponentState.HEALTHY
            if rest.days or rest.gaps or rest.repairs:
                self._give_back(device, rest)

    def _keep_waiting(
        self, device: DeviceIdentity, waiting: _Waiting, error: AitradingError
    ) -> None:
        _log.warning("gaps and counts wait here", error=error.code)
        self._state = ComponentState.DEGRADED
        self._give_back(device, waiting)

    def _give_back(self, device: DeviceIdentity, older: _Waiting) -> None:
        newer = self._waiting[device]
        newer.days = older.days | newer.days
        newer.gaps = older.gaps | newer.gaps
        newer.repairs = older.repairs | newer.repairs
        newer.refusals = older.refusals

    async def _ask(self, link: DeviceLink) -> None:
        """Ask the device for what is missing of the streams it feeds now."""
        try:
            orders = (await self._store.repairs(link.device.identity)).orders
        except AitradingError as exc:
            _log.warning("gaps are not repaired now", error=exc.code)
            return
        device = link.device.identity
        before, now = self._unfed.get(device.device, {}), dict[UUID, int]()
        for order in orders:
            stream = _fed(link, order)
            if stream is None:
                now[order.gap] = before.get(order.gap, 0) + 1
                if now[order.gap] >= UNFED_LOOKS:
                    unfed = RepairTold(
                        gap=order.gap,
                        stream=order.stream,
                        first=0,
                        last=0,
                        problem="its device does not feed the symbol now",
                    )
                    _keep(self._waiting[device].repairs, order.gap, unfed)
            else:
                link.ask_repair(
                    Repair(
                        gap=order.gap,
                        handle=stream.handle,
                        from_ms=order.from_ms,
                        until_ms=order.until_ms,
                        has_first=order.has_first,
                        has_last=order.has_last,
                        expected=order.expected,
                    )
                )
        self._unfed[device.device] = now


def _keep(waiting: dict[T, N], key: T, news: N) -> None:
    """Take the newest word about a thing; of more things than may wait, the later ones are left."""
    if key in waiting or len(waiting) < WAITING_MAX:
        waiting[key] = news
    else:
        _log.debug("a device tells of more than may wait", limit=WAITING_MAX)


def _fed(link: DeviceLink, order: RepairOrder) -> BridgeStream | None:
    """The newest stream of the link for the order's symbol, if only one account has it."""
    alike = [
        stream
        for stream in link.streams
        if (stream.symbol, stream.declaration.broker) == (order.symbol, order.broker)
    ]
    if len({stream.declaration.login for stream in alike}) != 1:
        alike = [stream for stream in alike if stream.id == order.stream]
    return max(alike, key=lambda stream: stream.declaration.epoch, default=None)


def _gap(note: GapNote) -> GapTold | None:
    """What a device wrote down; None for one that says nothing that can be meant."""
    is_range = 0 < note.first <= note.last <= SEQUENCE_MAX
    sequences = (note.first, note.last) if is_range else (None, None)
    from_ms = _moment(note.from_ms)
    if not (is_range or from_ms):
        return None
    return GapTold(
        stream=note.stream,
        reason=storable(note.reason),
        recorded_by=DEVICE,
        noticed_ns=note.noticed_ns,
        first=sequences[0],
        last=sequences[1],
        from_ms=from_ms,
        until_ms=_moment(note.until_ms),
    )


def _moment(told_ms: int) -> int | None:
    """A time of the calendar, or None: a terminal may have any."""
    return told_ms if 0 < told_ms < CALENDAR_MS else None
