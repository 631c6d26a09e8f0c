"""`/api/v1/traces`: what became of a request, step by step."""

from typing import Final

from aitrading.core.infrastructure.tracing import Outcome
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.operators import OPERATOR_NEEDED, Operators
from aitrading.server.database_service.organisations import ORGANISATION_UNKNOWN, Organisations
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.errors import TRACE_NOT_KEPT
from aitrading.server.database_service.traces.shapes import TraceDetails, TracesPage
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.tenancy import PLATFORM

HOST: Final = peers(ADMIN_SERVICE)
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
MAX_LEAST_MS: Final = 86_400_000
_MAX_LEAST_MS_CHARS: Final = len(str(MAX_LEAST_MS))
OWN: Final = "own"
PLATFORMS: Final = "platform"
_PATH: Final = "/api/v1/traces"
_HOST_PATH: Final = "/internal/v1/admin/traces"
_PAGE: Final = (
    QueryField(name="outcome", doc="Only `failed`, `refused` or `ok` ones."),
    QueryField(name="least_ms", doc="Only those that took as many milliseconds or more."),
    QueryField(name="limit", doc=f"Traces per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)
_WHOSE: Final = QueryField(
    name="of",
    doc=f"`{OWN}` (default), or `{PLATFORMS}`: what belongs to no organisation, for operators.",
)
_TENANT: Final = QueryField(
    name="tenant", doc="The organisation by name or id; default: the platform's own."
)


class TraceEndpoints:
    """A person sees what their organisation had a part in; operators the platform's own too."""

    def __init__(
        self, book: TraceBook, operators: Operators, organisations: Organisations
    ) -> None:
        self._book = book
        self._operators = operators
        self._organisations = organisations

    @endpoint(
        "GET",
        _PATH,
        access=scope(Scope.READ),
        summary="Kept traces: failed requests first, then refused ones, then the rest.",
        answer=TracesPage,
        query=(*_PAGE, _WHOSE),
        errors=(OPERATOR_NEEDED,),
    )
    async def recent(self, call: Call) -> TracesPage:
        """The tenant comes from the token; only an operator may ask for the platform's own."""
        owner = call.token.tenant
        match call.query_or("of", None) or OWN:
            case "own":
                pass
            case "platform":
                await self._operators.require(call.token)
                owner = PLATFORM
            case _:
                raise REQUEST_INVALID.error(reason=f"`of` is `{OWN}` or `{PLATFORMS}`")
        return await self._page(call, owner)

    @endpoint(
        "GET",
        f"{_PATH}/{{trace_id}}",
        access=scope(Scope.READ),
        summary="One trace, step by step; operators see the platform's own, too.",
        answer=TraceDetails,
        errors=(TRACE_NOT_KEPT,),
    )
    async def one(self, call: Call) -> TraceDetails:
        """What another organisation had a part in is not there for this one."""
        trace_id = call.path("trace_id")
        try:
            return await self._book.one(call.token.tenant, trace_id)
        except AitradingError as refusal:
            if refusal.spec is not TRACE_NOT_KEPT or not await self._operators.are(call.token):
                raise
        return await self._book.one(PLATFORM, trace_id)

    @endpoint(
        "GET",
        _HOST_PATH,
        access=HOST,
        answer=TracesPage,
        query=(*_PAGE, _TENANT),
        errors=(ORGANISATION_UNKNOWN,),
    )
    async def recent_for_host(self, call: Call) -> TracesPage:
        """Kept traces of an organisation, or of the platform itself."""
        named = call.query_or("tenant", None)
        owner = PLATFORM if named is None else await self._organisations.find(named)
        return await self._page(call, owner)

    @endpoint(
        "GET",
        f"{_HOST_PATH}/{{trace_id}}",
        access=HOST,
        answer=TraceDetails,
        errors=(TRACE_NOT_KEPT,),
    )
    async def one_for_host(self, call: Call) -> TraceDetails:
        """The whole of one trace, whoever had a part in it."""
        return await self._book.of_everybody(call.path("trace_id"))

    async def _page(self, call: Call, owner: TenantId) -> TracesPage:
        return await self._book.page(
            owner,
            call.limit(DEFAULT_LIMIT, MAX_LIMIT),
            call.query_or("cursor", None),
            outcome=_outcome(call.query_or("outcome", None)),
            least_ms=_least_ms(call.query_or("least_ms", None)),
        )


def _outcome(text: str | None) -> Outcome | None:
    try:
        return None if text is None else Outcome(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason="`outcome` is `failed`, `refused` or `ok`") from None


def _least_ms(text: str | None) -> int:
    if text is None:
        return 0
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_LEAST_MS_CHARS
    if not is_number or int(text) > MAX_LEAST_MS:
        raise REQUEST_INVALID.error(reason=f"`least_ms` is not a number up to {MAX_LEAST_MS}")
    return int(text)
