"""The way of a command that acts as a person: HTTPS through the edge, like everybody else."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.cli.errors import CLI_SERVER_NOT_TRUSTED, CLI_SERVER_UNREACHABLE

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


class WebErrorAnswer(msgspec.Struct):
    """The one shape of errors."""

    error: WebError


class Web:
    """Speaks to one server; trusts the given authority and nobody else."""

    def __init__(self, url: str, ca: Path, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._ca = ca
        self._token = token
        self._ids = SystemIdFactory(SystemClock(), SystemRandomness())

    def get(self, path: str, answer: type[T], **query: str) -> T:
        """GET and decode; raises the server's own error."""
        return self._exchange("GET", f"{path}?{urlencode(query)}" if query else path, None, answer)

    def post(self, path: str, body: dict[str, Any], answer: type[T]) -> T:
        """POST and decode; raises the server's own error."""
        return self._exchange("POST", path, body, answer)

    def delete(self, path: str, answer: type[T]) -> T:
        """DELETE and decode; raises the server's own error."""
        return self._exchange("DELETE", path, None, answer)

    def _exchange(
        self, method: str, target: str, body: dict[str, Any] | None, answer: type[T]
    ) -> T:
        place = urlsplit(self.url)
        try:
            context = ssl.create_default_context(cafile=str(self._ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            connection = http.client.HTTPSConnection(
                place.hostname or "", place.port or 443, timeout=TIMEOUT_S, context=context
            )
            content = json.dumps(body).encode() if body is not None else None
            connection.request(method, target, body=content, headers=self._headers(content))
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

    def _headers(self, content: bytes | None) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if content is not None:
            headers["content-type"] = "application/json"
            headers["idempotency-key"] = str(self._ids.new())
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
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
    return spec.error()
