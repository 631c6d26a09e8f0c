"""The few HTTPS calls of a client, with the standard library: enrolment, renewal, a look-up.

No proxy and no environment variable is honoured; redirects are not followed.
"""

import http.client
import socket
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from typing_extensions import override

from aitrading.client.security.device_files import ServerAddress
from aitrading.client.security.errors import (
    LINK_NOT_TRUSTED,
    LINK_UNREACHABLE,
    SERVER_ANSWER_UNEXPECTED,
)
from aitrading.client.security.trust import (
    ClientCertificate,
    ServerTrust,
    client_context,
    ssl_reason,
)
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, FieldValue
from aitrading.core.security.crypto import inspect_certificate

TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
T = TypeVar("T")


class _ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    category: Category
    fields: dict[str, FieldValue] = {}
    remedy: str = ""


class _ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    error: _ErrorBody


class ServerApi:
    """One server; without trust only for what proves itself, such as a pinned authority."""

    def __init__(
        self,
        server: ServerAddress,
        trust: ServerTrust | None,
        certificate: ClientCertificate | None = None,
    ) -> None:
        """With a certificate it is asked under the link's name, which demands one."""
        self._server = server
        self._name = server.link_name if certificate else server.host
        self._context = client_context(trust, certificate) if trust else _unverified()
        self.server_key: bytes | None = None
        """SHA-256 of the public key the server used last."""
        self.server_time: datetime | None = None
        """What its last answer said of the time, in whole seconds."""

    def get(self, path: str, answer: type[T]) -> T:
        """GET and decode; raises what the server refused, or `LINK_…`."""
        return self._exchange("GET", path, None, answer)

    def post(self, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        """POST a struct as JSON and decode the answer."""
        return self._exchange("POST", path, msgspec.json.encode(body), answer)

    def post_with(
        self, token: str | None, path: str, body: msgspec.Struct | None, answer: type[T]
    ) -> T:
        """The same with a token, or without a body."""
        data = b"" if body is None else msgspec.json.encode(body)
        return self._exchange("POST", path, data, answer, token)

    def _exchange(
        self, method: str, path: str, body: bytes | None, answer: type[T], token: str | None = None
    ) -> T:
        server = self._server
        connection = _Connection(server, self._name, self._context)
        try:
            connection.connect()
            self._note_key(connection)
            headers = {"content-type": "application/json", "accept": "application/json"}
            if token is not None:
                headers["authorization"] = f"Bearer {token}"
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            data = response.read(ANSWER_BYTES_MAX + 1)
            self.server_time = _moment(response.headers.get("date"))
        except ssl.SSLError as exc:
            raise LINK_NOT_TRUSTED.error(address=server.url, cause=ssl_reason(exc)) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise LINK_UNREACHABLE.error(address=server.url, cause=str(exc) or repr(exc)) from exc
        finally:
            connection.close()
        return _decoded(response.status, data, answer)

    def _note_key(self, connection: http.client.HTTPSConnection) -> None:
        if isinstance(connection.sock, ssl.SSLSocket):
            certificate = connection.sock.getpeercert(binary_form=True)
            self.server_key = inspect_certificate(certificate).spki_sha256 if certificate else None


class _Connection(http.client.HTTPSConnection):
    """Goes to the server's address and asks for one of its names."""

    def __init__(self, server: ServerAddress, name: str, context: ssl.SSLContext) -> None:
        super().__init__(name, server.port, timeout=TIMEOUT_S, context=context)
        self._address = (server.host, server.port)
        self._name = name
        self._tls = context

    @override
    def connect(self) -> None:
        plain = socket.create_connection(self._address, TIMEOUT_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def _moment(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date) if date else None
    except ValueError:
        return None


def _decoded(status: int, data: bytes, answer: type[T]) -> T:
    try:
        if status < HTTPStatus.BAD_REQUEST:
            return msgspec.json.decode(data, type=answer)
        refused = msgspec.json.decode(data, type=_ErrorAnswer).error
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SERVER_ANSWER_UNEXPECTED.error(status=status) from exc
    raise _rebuilt(refused, status)


def _rebuilt(body: _ErrorBody, status: int) -> AitradingError:
    spec = ErrorSpec(
        code=body.code,
        category=body.category,
        message=body.message.replace("{", "{{").replace("}", "}}"),
        why="",
        remedy=body.remedy,
        http_status=status,
    )
    return spec.error(**body.fields)


def _unverified() -> ssl.SSLContext:
    """For the public authority certificate alone: the enrolment code's pin verifies it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # nosemgrep: no-unverified-tls
    context.verify_mode = ssl.CERT_NONE  # nosemgrep: no-unverified-tls
    return context
