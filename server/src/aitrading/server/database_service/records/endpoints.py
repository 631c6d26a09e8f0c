"""`/api/v1/store`: what the relational store holds, page by page, for people who operate."""

from typing import Final

from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.operators import Operators
from aitrading.server.database_service.organisations import ORGANISATION_UNKNOWN, Organisations
from aitrading.server.database_service.records.book import (
    MAX_CONDITIONS,
    MAX_LIMIT,
    RECORD_KIND_UNKNOWN,
    RecordBook,
    RecordsQuestion,
)
from aitrading.server.database_service.records.shapes import RecordKinds, RecordsPage
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.tenancy import PLATFORM

HOST: Final = peers(ADMIN_SERVICE)
DEFAULT_LIMIT: Final = 50
MAX_CURSOR_CHARS: Final = 256
_PATH: Final = "/api/v1/store"
_HOST_PATH: Final = "/internal/v1/admin/store"
_PAGE: Final = (
    QueryField(name="where", doc="Values of columns: `state:active,role:owner`."),
    QueryField(name="limit", doc=f"Records per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)


class StoreEndpoints:
    """People see their organisation's records; operators also those of the installation."""

    def __init__(
        self, book: RecordBook, operators: Operators, organisations: Organisations
    ) -> None:
        self._book = book
        self._operators = operators
        self._organisations = organisations

    @endpoint("GET", _PATH, access=scope(Scope.ADMIN), answer=RecordKinds)
    async def kinds(self, call: Call) -> RecordKinds:
        """Which records you may read, and their columns."""
        operator = await self._operators.are(call.token)
        return RecordKinds(items=await self._book.kinds(operator=operator))

    @endpoint(
        "GET",
        f"{_PATH}/{{kind}}",
        access=scope(Scope.ADMIN),
        answer=RecordsPage,
        query=_PAGE,
        errors=(RECORD_KIND_UNKNOWN,),
    )
    async def records(self, call: Call) -> RecordsPage:
        """Records of one kind by key; of your organisation alone."""
        question = question_of(call)
        operator = await self._operators.are(call.token)
        return await self._book.page(call.token.tenant, question, operator=operator)

    @endpoint("GET", _HOST_PATH, access=HOST, answer=RecordKinds)
    async def kinds_for_host(self, call: Call) -> RecordKinds:
        """Every kind of record."""
        del call
        return RecordKinds(items=await self._book.kinds(operator=True))

    @endpoint(
        "GET",
        f"{_HOST_PATH}/{{kind}}",
        access=HOST,
        answer=RecordsPage,
        query=(
            *_PAGE,
            QueryField(name="tenant", doc="The organisation by name or id; the platform's own."),
        ),
        errors=(RECORD_KIND_UNKNOWN, ORGANISATION_UNKNOWN),
    )
    async def records_for_host(self, call: Call) -> RecordsPage:
        """Records of one kind, of the organisation `tenant` where they are an organisation's."""
        question, named = question_of(call), call.query_or("tenant", None)
        tenant = PLATFORM if named is None else await self._organisations.find(named)
        return await self._book.page(tenant, question, operator=True)


def question_of(call: Call) -> RecordsQuestion:
    """Read the query completely; raises `REQUEST_INVALID` and names the parameter."""
    after = call.query_or("cursor", "")
    if len(after) > MAX_CURSOR_CHARS or "\0" in after:
        raise REQUEST_INVALID.error(reason="`cursor` is not one of a page before")
    return RecordsQuestion(
        kind=call.path("kind"),
        where=_conditions(call.query_or("where", "")),
        after=after,
        limit=call.limit(DEFAULT_LIMIT, MAX_LIMIT),
    )


def _conditions(text: str) -> dict[str, str]:
    parts = [part.partition(":") for part in text.split(",") if part]
    if len(parts) > MAX_CONDITIONS or "\0" in text:
        raise REQUEST_INVALID.error(reason=f"`where` is not 1 to {MAX_CONDITIONS} conditions")
    if any(not name or not colon for name, colon, _ in parts):
        raise REQUEST_INVALID.error(reason="`where` is not of the form column:value,column:value")
    return {name: value for name, _, value in parts}
