"""Who sent a request: the same rules for endpoints, pages and WebSockets.

A person's token travels in `Authorization: Bearer` or `DPoP` (programs) or in the `__Host-` cookie
(browsers), and each kind is bound to its way (`core/security/token_binding.py`). A browser sends
cookies with requests that other sites make, so whatever a cookie authorises to change, and every
WebSocket, must come from our own origin.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.certificates import (
    ForwardedDevice,
    ServiceIdentity,
    parse_forwarded_device,
)
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.security.errors import TOKEN_MISSING, TOKEN_REFUSED
from aitrading.core.security.jwt_manager import JwtVerifier, VerifiedToken
from aitrading.core.security.possession import PROOF_HEADER, Proof, Target, check_proof
from aitrading.core.security.token_binding import (
    SESSION_SECRET_CHARS,
    Shown,
    Way,
    certificate_binding,
    is_shown,
    session_binding,
)
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.client_address import client_address
from aitrading.server.kit.denials import Denial, Denials
from aitrading.server.kit.http_errors import (
    NETWORK_REFUSED,
    ORIGIN_REFUSED,
    PEER_CALL_REFUSED,
    REVOCATIONS_UNKNOWN,
)
from aitrading.server.kit.mtls import PEER_IDENTITY
from aitrading.server.kit.used_proofs import UsedProofs

ACCESS_COOKIE: Final = "__Host-aitrading"
SESSION_COOKIE: Final = "__Host-aitrading-session"
"""Holds the secret to which a browser's tokens are bound."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ANY_SERVICE: Final = "*"
"""Among allowed peers: whoever proves the name of a service."""
CERTAIN_SCOPES: Final = frozenset({Scope.TRADE, Scope.ADMIN})
"""What is refused while something that could forbid it cannot be asked."""
PAGE: Final = "page"
"""What was asked for where no endpoint was."""
_BEARER: Final = "Bearer "
_PROOF: Final = "DPoP "
_JOINTS: Final = {"cookie": "; "}
"""Between the lines of one header, where it is no comma."""


class RevocationView(Protocol):
    """What this process knows about ended sessions; answers from memory."""

    def is_revoked(self, token: VerifiedToken) -> bool:
        """Whether the token was revoked before its end."""
        ...

    @property
    def is_certain(self) -> bool:
        """Whether no revocation can have been missed."""
        ...


@dataclass(frozen=True, kw_only=True)
class RequestHead:
    """What of a request proves who sent it."""

    headers: Mapping[str, str]
    """By lower-case name, as `folded` makes them."""
    method: str = "GET"
    path: str = "/"
    """As it was sent, without the query."""
    route: str = ""
    """As the endpoint declares it; empty for a page."""
    websocket: bool = False


@dataclass(frozen=True, kw_only=True)
class Identified:
    """A person, and the proof that came with the token; the proof has yet to be spent."""

    token: VerifiedToken
    head: RequestHead
    proof: Proof | None = None


class Misuse(StrEnum):
    """Why a token that this installation made was refused, beyond its time."""

    ENDED = "ended"
    """Its session, or what it was made by, ended."""
    NOT_BOUND = "not_bound"
    """It came without what it is bound to, or another way than its kind travels."""
    PROOF_USED = "proof_used"
    OTHER_SESSION = "other_session"
    """An open connection was to go on with the token of another session or person."""


class Authenticator:
    """Turns headers into proof of a person or a peer."""

    def __init__(
        self,
        service: str,
        verifier: JwtVerifier,
        proofs: UsedProofs,
        *,
        clock: Clock,
        denials: Denials,
        revocations: RevocationView | None = None,
    ) -> None:
        self._service = service
        self._verifier = verifier
        self._proofs = proofs
        self._clock = clock
        self.denials = denials
        """What was denied here, for the audit trail."""
        self._revocations = revocations

    async def person(
        self, head: RequestHead, scope: Scope | None = None, *, reduces: bool = False
    ) -> VerifiedToken:
        """Verify the person behind a request, and that they have the scope.

        What `reduces` a position or stops trading waits for no certainty.

        Raises `TOKEN_MISSING`, `TOKEN_REFUSED`, `NETWORK_REFUSED`, `ORIGIN_REFUSED`,
        `SCOPE_MISSING` or, where certainty is needed and cannot be had, `REVOCATIONS_UNKNOWN` or
        `PROOF_UNCHECKED`.
        """
        found = self.identify(head, device=scope is Scope.DEVICE)
        if scope is not None:
            self.require(found, scope)
        certain_of = None if reduces else scope
        if certain_of in CERTAIN_SCOPES and not self._knows_revocations:
            raise REVOCATIONS_UNKNOWN.error()
        await self.spend(found, certain_of)
        return found.token

    def require(self, found: Identified, scope: Scope) -> None:
        """Raise `SCOPE_MISSING` unless the person has the scope."""
        try:
            found.token.require(scope)
        except AitradingError as exc:
            self.denied(found.token, found.head, exc.code)
            raise

    def denied(self, person: VerifiedToken, head: RequestHead, reason: str) -> None:
        """Note for the audit trail that somebody who is logged in was refused."""
        self._note(AuditAction.ACCESS_REFUSED, person, head, reason)

    def identify(self, head: RequestHead, *, device: bool = False) -> Identified:
        """The same without a look at used proofs: for who must answer at once, and spends later.

        A device is no person: its token counts only where a device is asked for.
        """
        try:
            return self._identify(head, device=device)
        except AitradingError as exc:
            self._not_identified(head, exc)
            raise

    def _identify(self, head: RequestHead, *, device: bool) -> Identified:
        scheme, token = _presented(head.headers)
        if scheme is Way.COOKIE and (head.websocket or head.method not in SAFE_METHODS):
            require_same_origin(head.headers, required=True)
        proof = self._proof(head, token) if scheme is Way.PROOF else None
        verified = self._verifier.verify_user(token, _shown(scheme, head.headers, proof))
        if not self.admits(verified, client_address(head.headers)):
            raise NETWORK_REFUSED.error()
        is_device = verified.authentication == Authentication.DEVICE
        if self.is_revoked(verified) or (is_device and not device):
            raise TOKEN_REFUSED.error()
        return Identified(token=verified, head=head, proof=proof)

    async def spend(self, found: Identified, scope: Scope | None = None) -> None:
        """Note that the proof was used; raises `TOKEN_REFUSED` or `PROOF_UNCHECKED`."""
        if found.proof is None:
            return
        try:
            await self._proofs.spend(found.proof, strict=scope in CERTAIN_SCOPES)
        except AitradingError as exc:
            if exc.spec is TOKEN_REFUSED:
                self._misused(found.token, found.head, Misuse.PROOF_USED)
            raise

    async def key_of(self, head: RequestHead) -> str | None:
        """The thumbprint of the key that signed a request without a token, if it brought a proof.

        Raises `TOKEN_REFUSED`. What comes with it - a password, a code, a refresh token - has its
        own protection against a second use, so this waits for no certainty about the proof: who
        cannot renew could not even stop trading.
        """
        if PROOF_HEADER not in head.headers:
            return None
        proof = self._proof(head, None)
        await self._proofs.spend(proof, strict=False)
        return proof.thumbprint

    @property
    def _knows_revocations(self) -> bool:
        return self._revocations is None or self._revocations.is_certain

    def _proof(self, head: RequestHead, token: str | None) -> Proof:
        target = Target(
            method=head.method, host=head.headers.get("host", ""), path=head.path, token=token
        )
        text = head.headers.get(PROOF_HEADER, "")
        return check_proof(text, target, now_ns=self._clock.now_ns())

    def renewed(self, token: str, before: Identified) -> VerifiedToken:
        """Verify the next token of an open connection; raises `TOKEN_REFUSED`.

        It must be the same person's, bound to what the connection proved when it began, and count
        at its address.
        """
        fresh, old = self._verifier.known_user(token), before.token
        if (fresh.tenant, fresh.user, fresh.binding) != (old.tenant, old.user, old.binding):
            self._misused(fresh, before.head, Misuse.OTHER_SESSION)
            raise TOKEN_REFUSED.error()
        if self.is_revoked(fresh):
            self._misused(fresh, before.head, Misuse.ENDED)
            raise TOKEN_REFUSED.error()
        if not self.admits(fresh, client_address(before.head.headers)):
            self.denied(fresh, before.head, NETWORK_REFUSED.code)
            raise TOKEN_REFUSED.error()
        return fresh

    @staticmethod
    def admits(token: VerifiedToken, address: str) -> bool:
        """Whether a token counts for who has this address; who came past the edge has none."""
        return not address or token.admits(address)

    def is_revoked(self, token: VerifiedToken) -> bool:
        """Whether a verified token's session ended, or its key was withdrawn, meanwhile."""
        if not self._verifier.is_published(token):
            return True
        return self._revocations is not None and self._revocations.is_revoked(token)

    def _not_identified(self, head: RequestHead, exc: AitradingError) -> None:
        """Note it, if the token was made here and its time is not over; a forged one names nobody."""
        try:
            way, token = _presented(head.headers)
            named = self._verifier.known_user(token)
        except AitradingError:
            return
        if exc.spec in (ORIGIN_REFUSED, NETWORK_REFUSED):
            self.denied(named, head, exc.code)
        elif self.is_revoked(named):
            self._misused(named, head, Misuse.ENDED)
        elif is_shown(named.binding, _shown(way, head.headers, None)):
            self.denied(named, head, exc.code)  # a device that came as a person
        else:
            self._misused(named, head, Misuse.NOT_BOUND)

    def _misused(self, named: VerifiedToken, head: RequestHead, misuse: Misuse) -> None:
        self._note(AuditAction.TOKEN_MISUSED, named, head, misuse)

    def _note(
        self, action: AuditAction, named: VerifiedToken, head: RequestHead, reason: str
    ) -> None:
        self.denials.note(
            Denial(
                action=action,
                tenant=named.tenant,
                actor=actor_of(named),
                subject=f"{head.method} {head.route or PAGE}",
                reason=reason,
                address=client_address(head.headers),
            )
        )

    @staticmethod
    def device_of(head: RequestHead) -> ForwardedDevice | None:
        """The device whose certificate the edge verified on this connection, if there is one."""
        return _forwarded_device(head.headers)

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
        if caller != connected or allowed.isdisjoint({caller.name, ANY_SERVICE}):
            raise PEER_CALL_REFUSED.error()
        return caller


def folded(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; what came on several lines is one value (RFC 9110, 5.3).

    So no line counts before another: two proofs (RFC 9449, 4.3) or two tokens are none, whether a
    proxy joined them or not, and of two cookies with one name there are two.
    """
    headers: dict[str, str] = {}
    for name, value in lines:
        key = name.lower()
        before = headers.get(key)
        headers[key] = value if before is None else f"{before}{_JOINTS.get(key, ', ')}{value}"
    return headers


def actor_of(token: VerifiedToken) -> str:
    """Who a token was made for, as the audit trail names them."""
    kind = "device" if token.authentication == Authentication.DEVICE else "user"
    return f"{kind}:{token.user}"


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer`, or None."""
    value = headers.get("authorization", "")
    return value[len(_BEARER) :] if value.startswith(_BEARER) else None


def _presented(headers: Mapping[str, str]) -> tuple[Way, str]:
    """The token and how it came; one in a header counts before one in a cookie."""
    value = headers.get("authorization", "")
    if value.startswith(_PROOF):
        return Way.PROOF, value[len(_PROOF) :]
    if token := bearer_token(headers):
        return Way.BEARER, token
    if token := one_cookie(headers, ACCESS_COOKIE):
        return Way.COOKIE, token
    raise TOKEN_MISSING.error()


def _shown(way: Way, headers: Mapping[str, str], proof: Proof | None) -> Shown:
    match way:
        case Way.COOKIE:
            secret = one_cookie(headers, SESSION_COOKIE) or ""
            known = 0 < len(secret) <= SESSION_SECRET_CHARS
            return Shown(way=way, session_sha256=session_binding(secret) if known else None)
        case Way.PROOF:
            return Shown(way=way, key_thumbprint=proof.thumbprint if proof else None)
        case Way.BEARER:
            return Shown(way=way, certificate_sha256=_forwarded(headers))


def require_same_origin(headers: Mapping[str, str], *, required: bool) -> None:
    """Raise `ORIGIN_REFUSED` unless the request came from our own page.

    Without `required` a missing origin is accepted: that is a program, not a browser.
    """
    origin = headers.get("origin")
    if origin is None and not required and headers.get("sec-fetch-site") in (None, "same-origin"):
        return
    if origin != f"https://{headers.get('host', '')}":
        raise ORIGIN_REFUSED.error()


def one_cookie(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a cookie that is there once; other sites' malformed ones do not matter."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 else None


def _forwarded(headers: Mapping[str, str]) -> str | None:
    device = _forwarded_device(headers)
    return None if device is None else certificate_binding(device.certificate_sha256)


def _forwarded_device(headers: Mapping[str, str]) -> ForwardedDevice | None:
    try:
        return parse_forwarded_device(headers.get("x-forwarded-client-cert") or "")
    except AitradingError:
        return None
