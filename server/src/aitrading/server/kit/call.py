"""One request as a handler sees it: authenticated, bounded, decoded on demand."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar, cast

import msgspec
from starlette.requests import Request

from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.core.security.certificates import ServiceIdentity
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.security.strict_json import strict_json
from aitrading.server.kit.authentication import RequestHead, folded, require_same_origin
from aitrading.server.kit.client_address import client_address
from aitrading.server.kit.http_errors import BODY_TOO_LARGE, REQUEST_INVALID
from aitrading.server.kit.rate_limits import RateLimits

T = TypeVar("T")
_NOTHING: Final = re.compile(rb"\s*(\{\s*\})?\s*")
_ZERO: Final = rb"\u0000"
FIRST_DAY: Final = date(1970, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
"""Far enough for every question, and each day between has a day before and after it."""
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, as far as the endpoint demanded proof."""

    person: VerifiedToken | None = None
    service: ServiceIdentity | None = None


class Call:
    """Everything a handler may use of a request."""

    def __init__(
        self,
        request: Request,
        *,
        caller: Caller,
        request_id: str,
        trace: TraceContext,
        body_limit_bytes: int,
        limits: RateLimits,
        shape: type | None = None,
    ) -> None:
        self._request = request
        self._caller = caller
        self._body_limit_bytes = body_limit_bytes
        self._shape = shape
        self._body: bytes | None = None
        self.request_id = request_id
        self.trace = trace
        self.limits = limits
        """For what only the handler knows to count: the request itself is counted already."""

    @property
    def token(self) -> VerifiedToken:
        """The person's proof; a handler of a public or internal endpoint has none."""
        if self._caller.person is None:
            raise LookupError("this endpoint is not declared for a logged-in person")
        return self._caller.person

    @property
    def caller(self) -> ServiceIdentity:
        """The calling service; only a handler of an internal endpoint has one."""
        if self._caller.service is None:
            raise LookupError("this endpoint is not declared for peers")
        return self._caller.service

    @property
    def path_and_method(self) -> str:
        """What is asked for, without its query: `PUT /api/v1/…`."""
        return f"{self._request.method} {self._request.url.path}"

    def path(self, name: str) -> str:
        """A part of the path, as the declaration names it; raises `REQUEST_INVALID` for a zero."""
        return _require_storable(name, str(self._request.path_params[name]))

    def query(self, name: str) -> str:
        """A query parameter that must be there once; raises `REQUEST_INVALID`."""
        value = self.query_or(name, None)
        if value is None:
            raise REQUEST_INVALID.error(reason=f"the query parameter `{name}` is missing")
        return value

    def query_or(self, name: str, default: T) -> str | T:
        """A query parameter that may be there once; raises `REQUEST_INVALID` for two, or a zero."""
        values = self._request.query_params.getlist(name)
        if len(values) > 1:
            raise REQUEST_INVALID.error(reason=f"the query parameter `{name}` is given twice")
        return _require_storable(name, values[0]) if values else default

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter that is a number from 1 to `most`; raises `REQUEST_INVALID`."""
        text = self.query_or(name, str(default))
        if not (_NUMBER.fullmatch(text) and 1 <= int(text) <= most):
            raise REQUEST_INVALID.error(reason=f"`{name}` is not a number from 1 to {most}")
        return int(text)

    def flag(self, name: str) -> bool:
        """A query parameter that is `true`, or `false` as without it; raises `REQUEST_INVALID`."""
        text = self.query_or(name, "false")
        if text not in {"true", "false"}:
            raise REQUEST_INVALID.error(reason=f"`{name}` is not true or false")
        return text == "true"

    def day(self, name: str) -> date | None:
        """A query parameter that is a day, None without it; raises `REQUEST_INVALID`."""
        text = self.query_or(name, None)
        if text is None:
            return None
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise REQUEST_INVALID.error(reason=f"`{name}` is no day like 2026-11-27") from None
        if not FIRST_DAY <= day <= LAST_DAY:
            reason = f"`{name}` is no day from {FIRST_DAY} to {LAST_DAY}"
            raise REQUEST_INVALID.error(reason=reason)
        return day

    def limit(self, default: int, most: int) -> int:
        """How many the caller wants at most."""
        return self.number("limit", default, most)

    def header(self, name: str) -> str | None:
        """A header's value, or None."""
        return self._request.headers.get(name)

    def cookie(self, name: str) -> str | None:
        """A cookie's value, or None."""
        return self._request.cookies.get(name)

    @property
    def head(self) -> RequestHead:
        """What of the request proves who sent it; for handlers that ask for a proof themselves."""
        return head_of(self._request)

    def require_same_origin(self) -> None:
        """Raise `ORIGIN_REFUSED` unless our own page sent this; for cookies of a handler's own."""
        require_same_origin(self._request.headers, required=True)

    @property
    def network(self) -> str:
        """The caller's address as the edge saw it; empty when the call came another way."""
        return client_address(self._request.headers)

    async def body(self) -> bytes:
        """The raw body, the same each time; raises `BODY_TOO_LARGE` beyond the limit."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def require_declared_body(self) -> None:
        """Raise `REQUEST_INVALID` for a body of a request that takes none.

        What says nothing - no body, `{}` - is harmless, and some programs always send it: a kill
        switch does not fail because of that.
        """
        if (
            self._shape is None
            and self._announces_body
            and not _NOTHING.fullmatch(await self.body())
        ):
            raise REQUEST_INVALID.error(
                reason=f"{self.path_and_method} takes no body; nothing of what came was read"
            )

    @property
    def _announces_body(self) -> bool:
        return self.header("content-length") is not None or (
            self.header("transfer-encoding") is not None
        )

    async def _read(self) -> bytes:
        declared = self.header("content-length") or "0"
        if declared.isdigit() and int(declared) > self._body_limit_bytes:
            raise BODY_TOO_LARGE.error(limit_bytes=self._body_limit_bytes)
        data = bytearray()
        async for chunk in self._request.stream():
            data += chunk
            if len(data) > self._body_limit_bytes:
                raise BODY_TOO_LARGE.error(limit_bytes=self._body_limit_bytes)
        return bytes(data)

    async def json(self, shape: type[T]) -> T:
        """The body decoded into the struct that the endpoint declares.

        Raises `REQUEST_INVALID` and names the field: for one that is missing, of another type, not
        of the struct, or given twice (which of two counts is nobody's guess). A text with the
        character zero is refused too, unless a peer passes it on: its endpoint knows what it takes.
        """
        if shape is not self._shape:
            raise LookupError(f"this endpoint does not declare a body of {shape.__name__}")
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise REQUEST_INVALID.error(reason="the content type is not application/json")
        try:
            decoded = msgspec.json.decode(await self.body(), type=shape)
            self._require_storable_texts(strict_json(await self.body()))
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise REQUEST_INVALID.error(reason=str(exc)) from exc
        return decoded

    def _require_storable_texts(self, parsed: Any) -> None:
        if self._caller.service is None and _ZERO in (self._body or b"") and _has_zero(parsed):
            raise ValueError("a text in the body has the character zero in it")


def _require_storable(name: str, text: str) -> str:
    """No store takes the character zero, and no question needs it."""
    if "\0" in text:
        raise REQUEST_INVALID.error(reason=f"`{name}` has the character zero in it")
    return text


def _has_zero(value: Any) -> bool:
    """Whether a text in a decoded body has the character zero in it."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return any("\0" in name or _has_zero(each) for name, each in members.items())
    if isinstance(value, list):
        return any(map(_has_zero, cast("list[Any]", value)))
    return isinstance(value, str) and "\0" in value


def head_of(request: Request) -> RequestHead:
    """What of a request proves who sent it."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return RequestHead(
        headers=folded(request.headers.items()),
        method=request.method,
        path=raw.partition(b"?")[0].decode("latin-1"),
        route=request.scope.get("aitrading.route", ""),
    )
