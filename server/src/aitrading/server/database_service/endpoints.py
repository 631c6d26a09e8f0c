"""Ticks over HTTP: segments in from the bridge, pages out to people."""

from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import DATABASE_CLICKHOUSE, MARKET_DATA
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.cache.busiest import Busiest, BusiestSymbols
from aitrading.server.database_service.cache.quotes import QuoteCache
from aitrading.server.database_service.cache.read_budget import ReadBudget
from aitrading.server.database_service.errors import (
    READ_BUDGET_SPENT,
    SEGMENT_QUARANTINED,
    STREAM_DIGITS_CHANGED,
    SYMBOL_UNKNOWN,
    TOO_MANY_STREAMS,
)
from aitrading.server.database_service.metrics import (
    PAGES_READ,
    SEGMENT_SECONDS,
    SEGMENTS_STORED,
    TICKS_REPEATED,
    TICKS_STORED,
)
from aitrading.server.database_service.ticks.doubted import QuarantinePage
from aitrading.server.database_service.ticks.intake import SegmentIntake
from aitrading.server.database_service.ticks.reader import TickReader, TicksQuestion
from aitrading.server.database_service.ticks.rendering import (
    LATEST_MS,
    DoubtedPage,
    TicksPage,
    ms_of_rfc3339,
    position_of,
)
from aitrading.server.database_service.ticks.segments import TickSegment
from aitrading.server.database_service.ticks.streams import StreamBook, mark_of
from aitrading.server.database_service.ticks.writer import Outcome
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.ingest_api import (
    MARKS_PATH,
    QUOTES_PATH,
    SEGMENT_BYTES_MAX,
    SEGMENT_PATH,
    STREAMS_PATH,
    LastQuotes,
    OpenStreams,
    SegmentStored,
    StreamMarks,
)
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.kit.time_cursors import place_of
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE

_log = get_logger(__name__)
DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
BUSIEST_MAX: Final = 100
DAYS_MAX: Final = 1_000
FAR_MS: Final = 1 << 62
"""Beyond every time that a terminal can give."""
BRIDGE: Final = peers("data-bridge")
_TICKS_QUERY: Final = (
    QueryField(name="symbol", doc="The symbol as the broker spells it.", required=True),
    QueryField(name="from", doc="Earliest time, RFC 3339; default: the beginning."),
    QueryField(name="to", doc="First time that is too late, RFC 3339; default: no end."),
    QueryField(name="stream", doc="Only ticks of this stream (one device, account and epoch)."),
    QueryField(name="limit", doc=f"Ticks per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)


class SegmentEndpoints:
    """What the data bridge calls."""

    def __init__(
        self,
        intake: SegmentIntake,
        book: StreamBook,
        cache: QuoteCache,
        chains: ChainRegistry,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._book = book
        self._cache = cache
        self._chains = chains
        self._metrics = metrics
        self._clock = clock

    @endpoint(
        "POST",
        SEGMENT_PATH,
        access=BRIDGE,
        summary="Store a sealed segment; answers when every tick in it is durable.",
        body=bytes,
        answer=SegmentStored,
        errors=(SEGMENT_QUARANTINED,),
        body_limit_bytes=SEGMENT_BYTES_MAX,
        timeout_s=Timeouts.HEAVY,
    )
    async def store(self, call: Call) -> SegmentStored:
        """Take the whole body, then store it."""
        name, body = call.path("segment"), await call.body()
        began_ns = self._clock.monotonic_ns()
        try:
            segment, outcome = await self._intake.take(name, body)
        except Exception:
            self._measure(began_ns, None)
            raise
        self._measure(began_ns, segment)
        self._count(segment, outcome)
        _tell(segment)
        self._cache.offer(outcome.streams, outcome.pieces)
        return SegmentStored(
            segment=name,
            repeated=outcome.repeated,
            rows=segment.rows,
            inserted=outcome.inserted,
            marks=tuple(mark_of(info) for info in outcome.streams.values()),
        )

    @endpoint(
        "PUT",
        STREAMS_PATH,
        access=BRIDGE,
        summary="Open streams of a device and learn what is stored of them.",
        body=OpenStreams,
        answer=StreamMarks,
        errors=(STREAM_DIGITS_CHANGED,),
        body_limit_bytes=1 << 20,
    )
    async def open_streams(self, call: Call) -> StreamMarks:
        """Repeating it is harmless."""
        return await self._book.open(await call.json(OpenStreams))

    @endpoint(
        "GET",
        MARKS_PATH,
        access=BRIDGE,
        summary="What is stored of every stream of a device.",
        answer=StreamMarks,
        query=(
            QueryField(name="tenant", doc="The device's tenant.", required=True),
            QueryField(name="device", doc="The device.", required=True),
        ),
    )
    async def marks(self, call: Call) -> StreamMarks:
        """By symbol and epoch."""
        tenant = parse_tenant(call.query("tenant"))
        return await self._book.marks(tenant, _uuid("device", call.query("device")))

    @endpoint(
        "GET",
        QUOTES_PATH,
        access=peers("data-bridge", "api-gateway"),
        summary="The newest stored quote of each symbol of a tenant.",
        answer=LastQuotes,
        query=(QueryField(name="tenant", doc="The tenant.", required=True),),
    )
    async def quotes(self, call: Call) -> LastQuotes:
        """From the cache, or from the store while the cache is away."""
        return await self._cache.last_quotes(parse_tenant(call.query("tenant")))

    def _measure(self, began_ns: int, segment: TickSegment | None) -> None:
        """One hop of the chain `market-data`; a failure is one too."""
        took_ns = self._clock.monotonic_ns() - began_ns
        self._metrics.observe(SEGMENT_SECONDS, took_ns / NS_PER_S)
        self._chains.record(
            MARKET_DATA,
            DATABASE_CLICKHOUSE,
            took_ns,
            ok=segment is not None,
            trace_id=segment.trace_id if segment else None,
        )

    def _count(self, segment: TickSegment, outcome: Outcome) -> None:
        self._metrics.increment(SEGMENTS_STORED)
        self._metrics.increment(TICKS_STORED, outcome.inserted)
        self._metrics.increment(TICKS_REPEATED, segment.rows - outcome.inserted)


class TickEndpoints:
    """What people and their programs call."""

    def __init__(
        self, reader: TickReader, budget: ReadBudget, busiest: Busiest, metrics: Metrics
    ) -> None:
        self._reader = reader
        self._budget = budget
        self._busiest = busiest
        self._metrics = metrics

    @endpoint(
        "GET",
        "/api/v1/ticks",
        timeout_s=60,
        access=scope(Scope.READ),
        summary="Ticks of a symbol by time, page by page.",
        answer=TicksPage,
        query=_TICKS_QUERY,
        errors=(SYMBOL_UNKNOWN, TOO_MANY_STREAMS, READ_BUDGET_SPENT),
    )
    async def ticks(self, call: Call) -> TicksPage:
        """The tenant comes from the token, never from the question."""
        question = question_of(call)
        await self._budget.spend(call.token.tenant)
        page = await self._reader.page(call.token.tenant, question)
        self._metrics.increment(PAGES_READ)
        return page

    @endpoint(
        "GET",
        "/api/v1/feeds/quarantine",
        access=scope(Scope.READ),
        summary="How many ticks the platform did not believe, by stream and day, and why.",
        answer=QuarantinePage,
        query=(
            QueryField(name="symbol", doc="Only this symbol, in the broker's spelling."),
            QueryField(name="limit", doc=f"Entries per page, 1 to {DAYS_MAX}; default 100."),
            QueryField(name="cursor", doc="`next_cursor` of the page before."),
        ),
    )
    async def quarantined_days(self, call: Call) -> QuarantinePage:
        """Counted with the ticks, in the same transaction."""
        return await self._reader.quarantined_days(
            call.token.tenant,
            symbol=call.query_or("symbol", None),
            after=place_of(call.query_or("cursor", None)),
            limit=call.limit(100, DAYS_MAX),
        )

    @endpoint(
        "GET",
        "/api/v1/feeds/quarantine/ticks",
        timeout_s=60,
        access=scope(Scope.READ),
        summary="Ticks of a symbol that the platform did not believe, page by page.",
        answer=DoubtedPage,
        query=_TICKS_QUERY,
        errors=(SYMBOL_UNKNOWN, TOO_MANY_STREAMS, READ_BUDGET_SPENT),
    )
    async def quarantined(self, call: Call) -> DoubtedPage:
        """By their own times, impossible ones too unless `from` or `to` leaves them out."""
        question = question_of(call, earliest_ms=-FAR_MS, latest_ms=FAR_MS)
        await self._budget.spend(call.token.tenant)
        page = await self._reader.quarantined(call.token.tenant, question)
        self._metrics.increment(PAGES_READ)
        return page

    @endpoint(
        "GET",
        "/api/v1/ticks/busiest",
        access=scope(Scope.READ),
        summary="Your symbols with most stored ticks today (UTC), the busiest first.",
        answer=BusiestSymbols,
        query=(QueryField(name="limit", doc=f"How many, 1 to {BUSIEST_MAX}; default 10."),),
        errors=(CACHE_UNAVAILABLE,),
    )
    async def busiest(self, call: Call) -> BusiestSymbols:
        """Counted in the cache alone: without it this one answer is missing."""
        number = call.limit(10, BUSIEST_MAX)
        return await self._busiest.today(call.token.tenant, number)


def _tell(segment: TickSegment) -> None:
    """The end of the way of the batches that are followed."""
    for record in segment.followed:
        header = record.header
        with bind_context(tenant=header.tenant, trace_id=header.trace_id.hex()):
            last = header.first_sequence + header.count - 1
            _log.info("ticks in ClickHouse", ticks=header.count, last=last, segment=segment.name)


def question_of(call: Call, *, earliest_ms: int = 0, latest_ms: int = LATEST_MS) -> TicksQuestion:
    """Read the query completely; raises `REQUEST_INVALID` and names the parameter."""
    stream, cursor = call.query_or("stream", None), call.query_or("cursor", None)
    return TicksQuestion(
        symbol=call.query("symbol"),
        stream=_uuid("stream", stream) if stream is not None else None,
        from_ms=max(earliest_ms, _ms_of(call, "from", earliest_ms)),
        to_ms=min(latest_ms, _ms_of(call, "to", latest_ms)),
        limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
        after=position_of(cursor) if cursor is not None else None,
    )


def _ms_of(call: Call, name: str, otherwise: int) -> int:
    text = call.query_or(name, None)
    return otherwise if text is None else ms_of_rfc3339(name, text)


def _uuid(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason=f"`{name}` is not a UUID") from None
