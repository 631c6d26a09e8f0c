"""The way of a command that acts as a person: HTTPS through the edge, like everybody else."""

import http.client
import json
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.core.security.own_authority import ask_for_own_certificate
from aitrading.core.security.possession import ProofMaker
from aitrading.server.cli.errors import CLI_SERVER_NOT_TRUSTED, CLI_SERVER_UNREACHABLE
from aitrading.server.kit.peer_errors import TRACE_ID
from aitrading.server.kit.step_up import STEP_UP_NEEDED

T = TypeVar("T")
TIMEOUT_S: Final = 30.0
ANSWER_LIMIT_BYTES: Final = 16 << 20
_BAD_REQUEST: Final = 400


class WebError(msgspec.Struct):
    """An error as the API tells it."""

    code: str
    message: str
    category: str = Category.FATAL.value
    remedy: str = ""
    trace_id: str = ""


class WebErrorAnswer(msgspec.Struct):
    """The one shape of errors."""

    error: WebError


class Web:
    """Speaks to one server; trusts the given authority and nobody else."""

    def __init__(
        self, url: str, ca: Path, token: str | None = None, *, key: SigningKey | None = None
    ) -> None:
        """With a key, each request proves that we hold it (RFC 9449)."""
        self.url = url.rstrip("/")
        self._ca = ca
        self._token = token
        clock = SystemClock()
        self._ids = SystemIdFactory(clock, SystemRandomness())
        self._proofs = ProofMaker(key, clock=clock, ids=self._ids) if key else None
        self.prove: Callable[[Web], str] | None = None
        """Proves anew who the person is, and gives the token that tells so."""
        self.renew: Callable[[], str] | None = None
        """Gives the next token of the same session."""

    def get(self, path: str, answer: type[T], **query: str) -> T:
        """GET and decode; raises the server's own error."""
        return self._exchange("GET", f"{path}?{urlencode(query)}" if query else path, None, answer)

    def post(self, path: str, body: dict[str, Any], answer: type[T], *, again: bool = False) -> T:
        """POST and decode; raises the server's own error.

        With `again` a lost connection is tried once more, as the same request.
        """
        key = str(self._ids.new())
        try:
            return self._exchange("POST", path, body, answer, key)
        except AitradingError as exc:
            if not again or exc.spec is not CLI_SERVER_UNREACHABLE:
                raise
        return self._exchange("POST", path, body, answer, key)

    def put(self, path: str, body: dict[str, Any], answer: type[T]) -> T:
        """PUT and decode; raises the server's own error."""
        return self._exchange("PUT", path, body, answer, str(self._ids.new()))

    def delete(self, path: str, answer: type[T]) -> T:
        """DELETE and decode; raises the server's own error."""
        return self._exchange("DELETE", path, None, answer)

    def _exchange(
        self,
        method: str,
        target: str,
        body: dict[str, Any] | None,
        answer: type[T],
        request_key: str = "",
    ) -> T:
        """Once more with a fresh proof of the person, where the server wants one."""
        try:
            return self._renewing(method, target, body, answer, request_key)
        except AitradingError as exc:
            if exc.code != STEP_UP_NEEDED.code or self.prove is None:
                raise
        prove, self.prove = self.prove, None  # proving itself is never asked for a proof
        try:
            self._token = prove(self)
            return self._once(method, target, body, answer, request_key)
        finally:
            self.prove = prove

    def _renewing(
        self,
        method: str,
        target: str,
        body: dict[str, Any] | None,
        answer: type[T],
        request_key: str,
    ) -> T:
        """Once more with the next token, where this one ended early and the session goes on."""
        try:
            return self._once(method, target, body, answer, request_key)
        except AitradingError as exc:
            if exc.code != TOKEN_REFUSED.code or self.renew is None:
                raise
            self._token = self.renew()
        return self._once(method, target, body, answer, request_key)

    def _once(
        self,
        method: str,
        target: str,
        body: dict[str, Any] | None,
        answer: type[T],
        request_key: str,
    ) -> T:
        place = urlsplit(self.url)
        try:
            context = ask_for_own_certificate(ssl.create_default_context(cafile=str(self._ca)))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            opened = http.client.HTTPSConnection(
                place.hostname or "", place.port or 443, timeout=TIMEOUT_S, context=context
            )
            content = json.dumps(body).encode() if body is not None else None
            with closing(opened) as connection:
                connection.request(
                    method,
                    target,
                    body=content,
                    headers=self._headers(method, target, request_key),
                )
                response = connection.getresponse()
                raw = response.read(ANSWER_LIMIT_BYTES)
        except ssl.SSLCertVerificationError as exc:
            raise CLI_SERVER_NOT_TRUSTED.error(
                url=self.url, reason=exc.verify_message, ca=str(self._ca)
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise CLI_SERVER_UNREACHABLE.error(url=self.url, reason=str(exc)) from exc
        if response.status >= _BAD_REQUEST:
            raise _refusal(raw, response.status)
        return msgspec.json.decode(raw or b"null", type=answer)

    def _headers(self, method: str, target: str, request_key: str) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if request_key:
            headers["content-type"] = "application/json"
            headers["idempotency-key"] = request_key
        if self._token is not None:
            scheme = "Bearer" if self._proofs is None else "DPoP"
            headers["authorization"] = f"{scheme} {self._token}"
        if self._proofs is not None:
            headers["dpop"] = self._proofs.make(method, f"{self.url}{target}", self._token)
        return headers


def _refusal(raw: bytes, status: int) -> AitradingError:
    try:
        told = msgspec.json.decode(raw, type=WebErrorAnswer).error
    except msgspec.MsgspecError:
        told = WebError(code=f"HTTP_{status}", message=f"The server answered {status}.")
    known = {category.value for category in Category}
    spec = ErrorSpec(
        code=told.code,
        category=Category(told.category) if told.category in known else Category.FATAL,
        message=told.message.replace("{", "{{").replace("}", "}}"),
        why="",
        remedy=told.remedy,
        http_status=status,
    )
    return spec.error(**({TRACE_ID: told.trace_id} if told.trace_id else {}))
