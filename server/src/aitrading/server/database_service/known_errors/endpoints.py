"""`/api/v1/errors`: what went wrong, what is like it, what solved it."""

from typing import Final
from uuid import UUID

from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.known_errors.catalogue import ErrorCatalogue
from aitrading.server.database_service.known_errors.errors import (
    ERROR_NOT_SEEN,
    RESOLUTION_REFUSED,
    RESOLUTION_UNKNOWN,
    VECTORS_UNAVAILABLE,
)
from aitrading.server.database_service.known_errors.lookup import MAX_SIMILAR, ErrorLookup
from aitrading.server.database_service.known_errors.shapes import (
    ErrorDetails,
    ErrorsPage,
    Note,
    Resolution,
    SimilarErrors,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, proved_recently, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.idempotency import IDEMPOTENCY_KEY_REUSED, host_write_of, write_of
from aitrading.server.kit.tenancy import PLATFORM

HOST: Final = peers(ADMIN_SERVICE)
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
MAX_WANTED_CHARS: Final = 2_000
_PATH: Final = "/api/v1/errors"
_HOST_PATH: Final = "/internal/v1/admin/errors"
_RESOLUTIONS: Final = "{fingerprint}/resolutions"
_PAGE: Final = (
    QueryField(name="limit", doc=f"Errors per page, 1 to {MAX_LIMIT}; default {DEFAULT_LIMIT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)
_SIMILAR: Final = (
    QueryField(
        name="to", doc="A fingerprint, an error code, or the text of a message.", required=True
    ),
    QueryField(name="limit", doc=f"How many, 1 to {MAX_SIMILAR}; default 5."),
)


class ErrorEndpoints:
    """A person sees the errors of their organisation; the host's operator the platform's own."""

    def __init__(self, catalogue: ErrorCatalogue, lookup: ErrorLookup) -> None:
        self._catalogue = catalogue
        self._lookup = lookup

    @endpoint(
        "GET",
        _PATH,
        access=scope(Scope.READ),
        summary="Errors of your organisation, folded by kind, the last seen first.",
        answer=ErrorsPage,
        query=_PAGE,
    )
    async def recent(self, call: Call) -> ErrorsPage:
        """The tenant comes from the token, never from the question."""
        return await self._catalogue.page(call.token.tenant, *_page_of(call))

    @endpoint(
        "GET",
        f"{_PATH}/similar",
        access=scope(Scope.READ),
        summary="Earlier errors like one, with what solved them.",
        answer=SimilarErrors,
        query=_SIMILAR,
        errors=(VECTORS_UNAVAILABLE,),
    )
    async def similar(self, call: Call) -> SimilarErrors:
        """Compared within the organisation alone."""
        found = await self._lookup.similar_to(call.token.tenant, *_wanted_of(call))
        return SimilarErrors(items=found)

    @endpoint(
        "GET",
        f"{_PATH}/{{fingerprint}}",
        access=scope(Scope.READ),
        summary="One error with its resolutions and the earlier errors like it.",
        answer=ErrorDetails,
        errors=(ERROR_NOT_SEEN, VECTORS_UNAVAILABLE),
    )
    async def one(self, call: Call) -> ErrorDetails:
        """By fingerprint."""
        return await self._catalogue.details(call.token.tenant, call.path("fingerprint"))

    @endpoint(
        "POST",
        f"{_PATH}/{_RESOLUTIONS}",
        access=proved_recently(scope(Scope.ADMIN)),
        summary="Write down what solved an error.",
        body=Note,
        answer=Resolution,
        errors=(ERROR_NOT_SEEN, RESOLUTION_REFUSED, IDEMPOTENCY_KEY_REUSED),
    )
    async def resolve(self, call: Call) -> Resolution:
        """Audited in the same transaction; needs an Idempotency-Key."""
        note = (await call.json(Note)).note
        return await self._catalogue.resolve(await write_of(call), call.path("fingerprint"), note)

    @endpoint(
        "PUT",
        f"{_PATH}/{_RESOLUTIONS}/{{resolution}}",
        access=proved_recently(scope(Scope.ADMIN)),
        summary="Replace a resolution's note.",
        body=Note,
        answer=Resolution,
        errors=(RESOLUTION_UNKNOWN, RESOLUTION_REFUSED, IDEMPOTENCY_KEY_REUSED),
    )
    async def change(self, call: Call) -> Resolution:
        """Audited in the same transaction; needs an Idempotency-Key."""
        note = (await call.json(Note)).note
        return await self._catalogue.change(
            await write_of(call), call.path("fingerprint"), _which(call), note
        )

    @endpoint(
        "DELETE",
        f"{_PATH}/{_RESOLUTIONS}/{{resolution}}",
        access=proved_recently(scope(Scope.ADMIN)),
        summary="Take a resolution away.",
        errors=(RESOLUTION_UNKNOWN, IDEMPOTENCY_KEY_REUSED),
    )
    async def delete(self, call: Call) -> None:
        """Audited in the same transaction; needs an Idempotency-Key."""
        await self._catalogue.delete(await write_of(call), call.path("fingerprint"), _which(call))

    @endpoint("GET", _HOST_PATH, access=HOST, answer=ErrorsPage, query=_PAGE)
    async def recent_for_host(self, call: Call) -> ErrorsPage:
        """The platform's own errors, for the host's administrator."""
        return await self._catalogue.page(PLATFORM, *_page_of(call))

    @endpoint("GET", f"{_HOST_PATH}/similar", access=HOST, answer=SimilarErrors, query=_SIMILAR)
    async def similar_for_host(self, call: Call) -> SimilarErrors:
        """Among the platform's own errors."""
        return SimilarErrors(items=await self._lookup.similar_to(PLATFORM, *_wanted_of(call)))

    @endpoint(
        "POST",
        f"{_HOST_PATH}/{_RESOLUTIONS}",
        access=HOST,
        body=Note,
        answer=Resolution,
        errors=(ERROR_NOT_SEEN, RESOLUTION_REFUSED),
    )
    async def resolve_for_host(self, call: Call) -> Resolution:
        """What solved one of the platform's own errors."""
        note = (await call.json(Note)).note
        return await self._catalogue.resolve(
            await host_write_of(call), call.path("fingerprint"), note
        )


def _which(call: Call) -> UUID:
    try:
        return UUID(call.path("resolution"))
    except ValueError:
        raise REQUEST_INVALID.error(reason="the resolution is not a UUID") from None


def _page_of(call: Call) -> tuple[int, str | None]:
    return call.limit(DEFAULT_LIMIT, MAX_LIMIT), call.query_or("cursor", None)


def _wanted_of(call: Call) -> tuple[str, int]:
    wanted = call.query("to").strip()
    if not 1 <= len(wanted) <= MAX_WANTED_CHARS or "\0" in wanted:
        raise REQUEST_INVALID.error(reason=f"`to` is not 1 to {MAX_WANTED_CHARS} characters")
    return wanted, call.limit(5, MAX_SIMILAR)
