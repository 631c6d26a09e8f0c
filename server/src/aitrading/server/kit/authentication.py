"""Who sent a request: the same rules for endpoints, pages and WebSockets.

A person's token travels in `Authorization: Bearer` (programs) or in the `__Host-` cookie
(browsers). A browser sends cookies with requests that other sites make, so whatever a cookie
authorises to change, and every WebSocket, must come from our own origin.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.certificates import ServiceIdentity, parse_forwarded_device
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.errors import TOKEN_MISSING, TOKEN_REFUSED
from aitrading.core.security.jwt_manager import JwtVerifier, VerifiedToken
from aitrading.server.kit.http_errors import ORIGIN_REFUSED, PEER_CALL_REFUSED
from aitrading.server.kit.mtls import PEER_IDENTITY

ACCESS_COOKIE: Final = "__Host-aitrading"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = "Bearer "


class RevocationView(Protocol):
    """What this process knows about ended sessions; answers from memory."""

    def is_revoked(self, token: VerifiedToken) -> bool:
        """Whether the token's session was ended before the token did."""
        ...


class Authenticator:
    """Turns headers into proof of a person or a peer."""

    def __init__(
        self, service: str, verifier: JwtVerifier, revocations: RevocationView | None = None
    ) -> None:
        self._service = service
        self._verifier = verifier
        self._revocations = revocations

    def person(
        self, headers: Mapping[str, str], *, method: str = "GET", websocket: bool = False
    ) -> VerifiedToken:
        """Verify the person behind lower-case headers.

        Raises `TOKEN_MISSING`, `TOKEN_REFUSED` or `ORIGIN_REFUSED`.
        """
        bearer = bearer_token(headers)
        token = bearer or _cookie(headers, ACCESS_COOKIE)
        if not token:
            raise TOKEN_MISSING.error()
        if bearer is None and (websocket or method not in SAFE_METHODS):
            require_same_origin(headers, required=True)
        verified = self._verifier.verify_user(token, certificate_sha256=_forwarded(headers))
        if self.is_revoked(verified):
            raise TOKEN_REFUSED.error()
        return verified

    def renewed(self, token: str) -> VerifiedToken:
        """Verify the next token of a connection that is open already; raises `TOKEN_REFUSED`."""
        return self._verifier.verify_user(token)

    def is_revoked(self, token: VerifiedToken) -> bool:
        """Whether the session of a verified token ended meanwhile; for what stays open long."""
        return self._revocations is not None and self._revocations.is_revoked(token)

    def peer(
        self, headers: Mapping[str, str], state: Mapping[str, Any], allowed: frozenset[str]
    ) -> ServiceIdentity:
        """Verify a service: certificate of the connection and token must name the same peer."""
        connected = state.get(PEER_IDENTITY)
        token = bearer_token(headers)
        if connected is None or token is None:
            raise PEER_CALL_REFUSED.error()
        try:
            caller = self._verifier.verify_service(token, self._service)
        except AitradingError as exc:
            raise PEER_CALL_REFUSED.error() from exc
        if caller != connected or caller.name not in allowed:
            raise PEER_CALL_REFUSED.error()
        return caller


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer`, or None."""
    value = headers.get("authorization", "")
    return value[len(_BEARER) :] if value.startswith(_BEARER) else None


def require_same_origin(headers: Mapping[str, str], *, required: bool) -> None:
    """Raise `ORIGIN_REFUSED` unless the request came from our own page.

    Without `required` a missing origin is accepted: that is a program, not a browser.
    """
    origin = headers.get("origin")
    if origin is None and not required and headers.get("sec-fetch-site") in (None, "same-origin"):
        return
    if origin != f"https://{headers.get('host', '')}":
        raise ORIGIN_REFUSED.error()


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a cookie that is there once; other sites' malformed ones do not matter."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 else None


def _forwarded(headers: Mapping[str, str]) -> str | None:
    value = headers.get("x-forwarded-client-cert")
    if not value:
        return None
    try:
        device = parse_forwarded_device(value)
    except AitradingError:
        return None
    return base64url_encode(bytes.fromhex(device.certificate_sha256))
