"""Endpoints are declared beside their handlers; routing, access and documents follow from that."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.security.claims import Scope
from aitrading.server.kit.authentication import ANY_SERVICE, SAFE_METHODS
from aitrading.server.kit.call import Call
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.step_up import SECOND_FACTOR_NEEDED, STEP_UP_NEEDED
from aitrading.server.kit.strict_bodies import require_strict

DEFAULT_BODY_LIMIT_BYTES: Final = 64 * 1024
DEFAULT_TIMEOUT_S: Final = 30.0
INTERNAL_PREFIX: Final = "/internal/"
_ATTRIBUTE: Final = "__aitrading_endpoint__"
HandlerT = TypeVar("HandlerT", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may call: anybody, a logged-in person (with a scope), or certain services."""

    public: bool = False
    scope: Scope | None = None
    peers: frozenset[str] = frozenset()
    step_up: bool = False
    """Only with a recent proof of the person (`kit.step_up`)."""


PUBLIC: Final = Access(public=True)
LOGGED_IN: Final = Access()


def scope(needed: Scope) -> Access:
    """A logged-in person whose token carries the scope."""
    return Access(scope=needed)


def proved_recently(access: Access) -> Access:
    """The same, and only with a recent proof of who the person is; for what is dangerous.

    Never for what makes things safer: the kill switch engages without.
    """
    if access.public or access.peers:
        raise ValueError("only a person can prove anew who they are")
    return replace(access, step_up=True)


def peers(*names: str) -> Access:
    """Only these services, proved by certificate and service token; under `/internal/` alone."""
    return Access(peers=frozenset(names))


EVERY_SERVICE: Final = Access(peers=frozenset({ANY_SERVICE}))
"""Any service of this installation, an operator's own among them, that proves its name."""


@dataclass(frozen=True, kw_only=True)
class QueryField:
    """One documented query parameter."""

    name: str
    doc: str
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One operation: what it is, who may call it, what it takes and gives."""

    method: str
    path: str
    access: Access
    summary: str
    body: type | None = None
    """A struct for JSON; `bytes` for whatever the handler reads itself; None for no body at all."""
    body_optional: bool = False
    """Whether the request counts without its body too."""
    answer: type | None = None
    statuses: tuple[HTTPStatus, ...] = (HTTPStatus.OK,)
    """With which the answer comes."""
    query: tuple[QueryField, ...] = ()
    errors: tuple[ErrorSpec, ...] = ()
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES
    timeout_s: float = DEFAULT_TIMEOUT_S
    limit: LimitKind = LimitKind.GENERAL
    handler: Callable[[Call], Awaitable[Any]] | None = field(default=None, compare=False)


def endpoint(  # noqa: PLR0913 - a declaration names all that it declares
    method: str,
    path: str,
    *,
    access: Access,
    summary: str | None = None,
    body: type | None = None,
    body_optional: bool = False,
    answer: type | None = None,
    statuses: tuple[HTTPStatus, ...] = (HTTPStatus.OK,),
    query: tuple[QueryField, ...] = (),
    errors: tuple[ErrorSpec, ...] = (),
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    limit: LimitKind | None = None,
) -> Callable[[HandlerT], HandlerT]:
    """Declare a method `async def handler(self, call: Call)` as an endpoint.

    The documents show the first line of the handler's docstring unless `summary` says otherwise.

    The handler gives a msgspec struct (200, or 201 with `Created`), None (204) or a response.
    What strangers may send is about who they are, and counts as such unless `limit` says otherwise.
    Raises `ValueError` for a declaration that would open an internal path, or hide a public one,
    and for a body that would let unknown members pass unsaid.
    """
    require_strict(body)
    if bool(access.peers) != path.startswith(INTERNAL_PREFIX):
        raise ValueError(f"{path}: exactly the paths under {INTERNAL_PREFIX} are for peers")
    declared = Endpoint(
        method=method,
        path=path,
        access=access,
        summary=summary or "",
        body=body,
        body_optional=body_optional,
        answer=answer,
        statuses=statuses,
        query=query,
        errors=(*errors, *_refusals_of(access)),
        body_limit_bytes=body_limit_bytes,
        timeout_s=timeout_s,
        limit=limit or _kind_of(method, access),
    )

    def declare(handler: HandlerT) -> HandlerT:
        said = (handler.__doc__ or "").partition("\n")[0].strip()
        setattr(handler, _ATTRIBUTE, replace(declared, summary=declared.summary or said))
        return handler

    return declare


def _kind_of(method: str, access: Access) -> LimitKind:
    sends = method not in SAFE_METHODS
    return LimitKind.IDENTITY if access.public and sends else LimitKind.GENERAL


def _refusals_of(access: Access) -> tuple[ErrorSpec, ...]:
    """What the access itself may refuse, besides who has no right at all."""
    recent = (STEP_UP_NEEDED,) if access.step_up else ()
    strong = (SECOND_FACTOR_NEEDED,) if access.scope is Scope.ADMIN else ()
    return (*recent, *strong)


def endpoints_of_class(owner: type) -> list[Endpoint]:
    """Every endpoint that a class declares, not bound to anything."""
    attributes = (getattr(getattr(owner, name, None), _ATTRIBUTE, None) for name in dir(owner))
    return [declared for declared in attributes if isinstance(declared, Endpoint)]


def endpoints_of(*owners: object) -> list[Endpoint]:
    """Every endpoint that the objects' methods declare, bound to the objects, in path order."""
    found: list[Endpoint] = []
    for owner in owners:
        for name in dir(type(owner)):
            declared = getattr(getattr(type(owner), name, None), _ATTRIBUTE, None)
            if isinstance(declared, Endpoint):
                found.append(replace(declared, handler=getattr(owner, name)))
    return sorted(found, key=lambda each: (each.path, each.method))
