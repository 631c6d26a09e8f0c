"""`/api/v1/auth/…`: the browser gets cookies that no script can read, programs get tokens."""

from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal

import msgspec
from starlette.responses import Response

from aitrading.core.infrastructure.resilience.errors import BULKHEAD_FULL
from aitrading.core.kit.clock import Clock, datetime_of_ns, now_utc
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import (
    USER_TOKEN_LIFETIME_S,
    Authentication,
    Confirmation,
    Scope,
)
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.errors import TOKEN_MISSING, TOKEN_REFUSED
from aitrading.core.security.token_binding import SESSION_SECRET_CHARS, session_binding
from aitrading.server.api_gateway.identity.errors import (
    CODE_REFUSED,
    LOGIN_REFUSED,
    LOGIN_THROTTLED,
    REFRESH_RACED,
)
from aitrading.server.api_gateway.identity.factors.errors import (
    KEYS_NOT_HERE,
    SECOND_FACTOR_REFUSED,
    SECOND_FACTOR_THROTTLED,
)
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigins
from aitrading.server.api_gateway.identity.factors.key_shapes import SignOptions, WaitingLogin
from aitrading.server.api_gateway.identity.factors.second_step import Challenge, SecondStep
from aitrading.server.api_gateway.identity.factors.shapes import (
    SecondFactorNeeded,
    SecondStepRequest,
)
from aitrading.server.api_gateway.identity.login import Login, LoginName
from aitrading.server.api_gateway.identity.model import Person
from aitrading.server.api_gateway.identity.refresh_tokens import SECRET_BYTES
from aitrading.server.api_gateway.identity.sessions import (
    IDLE_LIMIT_S,
    Renewal,
    Sessions,
    SessionTickets,
)
from aitrading.server.api_gateway.identity.throttle import network_of
from aitrading.server.kit.authentication import (
    ACCESS_COOKIE,
    SESSION_COOKIE,
    Authenticator,
    one_cookie,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import LOGGED_IN, PUBLIC, endpoint
from aitrading.server.kit.http_errors import ORIGIN_REFUSED, REQUEST_INVALID
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer, find_subscription

AUTH_PATH: Final = "/api/v1/auth"
REFRESH_COOKIE: Final = "__Secure-aitrading-refresh"
"""Sent to the refresh and logout addresses only; `__Host-` would send it everywhere."""
CLEARED: Final = '"cache", "storage"'
"""What a browser forgets with the session; "cookies" would also clear those of other ports."""
BODY_LIMIT_BYTES: Final = 4096
KEY_BODY_LIMIT_BYTES: Final = 16_384
REQUEST_KEY_CHARS: Final = (16, 128)
"""A request key that could be guessed, or is too long to be one, counts as none."""


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login; `deliver` chooses cookies (browser) or tokens in the answer (programs)."""

    tenant: str
    username: str
    password: str
    deliver: Literal["cookie", "token"] = "cookie"


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A one-time code from a login link."""

    code: str


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program's refresh token; a browser sends its cookie and no body."""

    refresh_token: str


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is logged in until when; the tokens only for a program that asked for them."""

    person: Person
    expires_at: datetime
    subscription: SubscriptionAnswer | None = None
    """What the person is entitled to; told by `me`."""
    access_token: str | None = None
    refresh_token: str | None = None
    token_type: Literal["Bearer", "DPoP"] | None = None
    """`DPoP` when the login brought a proof: each request with the token needs one from now on."""
    second_factor_missing: bool = False
    """The organisation asks for a second factor: until there is one, nothing else is open."""


class LoginAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as in `SessionAnswer`, or what is needed to finish the login."""

    person: Person | None = None
    expires_at: datetime | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    token_type: Literal["Bearer", "DPoP"] | None = None
    second_factor_missing: bool = False
    second_factor: SecondFactorNeeded | None = None


class LoginEndpoints:
    """Login, renewal, logout."""

    def __init__(
        self,
        pool: PostgresPool,
        login: Login,
        second: SecondStep,
        sessions: Sessions,
        *,
        authenticator: Authenticator,
        origins: KeyOrigins,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._pool = pool
        self._authenticator = authenticator
        self._origins = origins
        self._randomness = randomness
        self._login = login
        self._second = second
        self._sessions = sessions
        self._clock = clock

    @endpoint(
        "POST",
        f"{AUTH_PATH}/login",
        access=PUBLIC,
        body=LoginRequest,
        answer=LoginAnswer,
        statuses=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        errors=(LOGIN_REFUSED, LOGIN_THROTTLED, BULKHEAD_FULL),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def login(self, call: Call) -> Response:
        """Log in with organisation, user name and password; 202 asks for a second factor."""
        request = await call.json(LoginRequest)
        key = await self._key_of_program(call, request.deliver)
        name = LoginName(tenant=request.tenant, user=request.username)
        await call.limits.admit_account(f"{name.key().hex()}:{network_of(call.network)}")
        password = Secret(request.password)
        tickets = await self._login.by_password(name, password, network=call.network)
        return await self._begun(call, tickets, key, cookies=request.deliver == "cookie")

    @endpoint(
        "POST",
        f"{AUTH_PATH}/link",
        access=PUBLIC,
        limit=LimitKind.HOST,
        body=LinkRequest,
        answer=LoginAnswer,
        statuses=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        errors=(CODE_REFUSED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def link(self, call: Call) -> Response:
        """Log in with the one-time code of a login link; 202 asks for a second factor."""
        request = await call.json(LinkRequest)
        tickets = await self._login.by_link(Secret(request.code), network=call.network)
        return await self._begun(call, tickets, None, cookies=True)

    @endpoint(
        "POST",
        f"{AUTH_PATH}/second",
        access=PUBLIC,
        body=SecondStepRequest,
        answer=SessionAnswer,
        errors=(SECOND_FACTOR_REFUSED, SECOND_FACTOR_THROTTLED, KEYS_NOT_HERE),
        body_limit_bytes=KEY_BODY_LIMIT_BYTES,
    )
    async def second(self, call: Call) -> Response:
        """Finish a login with a code of an app, a recovery code, or a security key's answer."""
        request = await call.json(SecondStepRequest)
        key = await self._key_of_program(call, request.deliver)
        tickets = await self._proved(call, request)
        return await self._begun(call, tickets, key, cookies=request.deliver == "cookie")

    @endpoint(
        "POST",
        f"{AUTH_PATH}/second/key",
        access=PUBLIC,
        body=WaitingLogin,
        answer=SignOptions,
        errors=(SECOND_FACTOR_REFUSED, KEYS_NOT_HERE),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def ask_key(self, call: Call) -> SignOptions:
        """What a security key is to sign for a login that waits; each answer counts once."""
        request, origin = await call.json(WaitingLogin), self._origins.of(call)
        return await self._second.ask_key(Secret(request.challenge), origin)

    @endpoint(
        "POST",
        f"{AUTH_PATH}/refresh",
        access=PUBLIC,
        body=RefreshRequest,
        body_optional=True,
        answer=SessionAnswer,
        errors=(TOKEN_MISSING, TOKEN_REFUSED, REFRESH_RACED),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def refresh(self, call: Call) -> Response:
        """Renew the access token; each refresh token works once."""
        cookie = call.cookie(REFRESH_COOKIE)
        if cookie is not None:
            call.require_same_origin()
            return await self._browser_renewed(call, Secret(cookie))
        is_json = (call.header("content-type") or "").startswith("application/json")
        is_browser = call.header("origin") is not None  # its cookie is gone, whatever it sends
        if is_browser or not is_json or not await call.body():
            raise TOKEN_MISSING.error()
        request = await call.json(RefreshRequest)
        key = await self._authenticator.key_of(call.head)
        renewal = _renewal(call, Confirmation(jkt=key) if key else None)
        tickets = await self._sessions.refresh(Secret(request.refresh_token), renewal)
        return _delivered(tickets, session_secret=None)

    @endpoint(
        "POST",
        f"{AUTH_PATH}/logout",
        access=LOGGED_IN,
        limit=LimitKind.EXEMPT,
    )
    async def logout(self, call: Call) -> Response:
        """End the session; its tokens are refused from now on."""
        token = call.token
        await self._sessions.end(token.tenant, token.user, token.session)
        response = Response(status_code=204, headers={"clear-site-data": CLEARED})
        _set_cookie(response, ACCESS_COOKIE, "", path="/", max_age_s=0)
        _set_cookie(response, SESSION_COOKIE, "", path="/", max_age_s=0)
        _set_cookie(response, REFRESH_COOKIE, "", path=AUTH_PATH, max_age_s=0)
        return response

    @endpoint(
        "GET",
        f"{AUTH_PATH}/me",
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        answer=SessionAnswer,
    )
    async def me(self, call: Call) -> SessionAnswer:
        """Who is logged in, until when without renewal, and what the person is entitled to."""
        async with self._pool.tenant_read(call.token.tenant) as tx:
            person, _ = await self._sessions.person(tx, call.token.user)
            found = await find_subscription(tx, call.token.user, now_utc(self._clock))
        return SessionAnswer(
            person=person,
            expires_at=datetime_of_ns(call.token.expires_ns),
            subscription=SubscriptionAnswer.of(found),
            second_factor_missing=_lacks(
                person, call.token.scopes, Authentication(call.token.authentication)
            ),
        )

    async def _key_of_program(self, call: Call, deliver: str) -> str | None:
        """The key that a program proves; known before anything of the login is used up.

        Tokens go to programs alone: a browser says from where it asks.
        """
        if deliver != "token":
            return None
        if call.header("origin") is not None:
            raise ORIGIN_REFUSED.error()
        return await self._authenticator.key_of(call.head)

    async def _begun(
        self,
        call: Call,
        tickets: SessionTickets | Challenge,
        key: str | None,
        *,
        cookies: bool,
    ) -> Response:
        """Bind a new session to what its holder will show, then deliver its first tokens."""
        if isinstance(tickets, Challenge):
            return _challenged(tickets)
        if cookies:
            secret = base64url_encode(self._randomness.token(SECRET_BYTES))
            binding = Confirmation(session_s256=session_binding(secret))
            bound = await self._sessions.bind(tickets, binding)
            await self._end_former(call)
            return _delivered(bound, session_secret=secret)
        if key is not None:
            tickets = await self._sessions.bind(tickets, Confirmation(jkt=key))
        return _delivered(tickets, session_secret=None)

    async def _end_former(self, call: Call) -> None:
        """A browser has one session: the cookies of the one before are about to be replaced."""
        token, shown = call.cookie(REFRESH_COOKIE), _shown_secret(call)
        if token is not None and shown is not None:
            await self._sessions.end_replaced(Secret(token), shown)

    async def _proved(self, call: Call, request: SecondStepRequest) -> SessionTickets:
        challenge = Secret(request.challenge)
        if (request.code is None) == (request.key is None):
            raise REQUEST_INVALID.error(reason="give either `code` or `key`")
        if request.key is not None:
            origin = self._origins.of(call)
            return await self._second.by_key(challenge, request.key, origin, network=call.network)
        code = Secret(request.code or "")
        return await self._second.by_code(challenge, code, network=call.network)

    async def _browser_renewed(self, call: Call, token: Secret[str]) -> Response:
        secret, shown = one_cookie(call.head.headers, SESSION_COOKIE), _shown_secret(call)
        if shown is None:
            raise TOKEN_REFUSED.error()
        tickets = await self._sessions.refresh(token, _renewal(call, shown))
        return _delivered(tickets, session_secret=secret)


def _shown_secret(call: Call) -> Confirmation | None:
    """What the browser's cookie binds a session to, if it has one."""
    secret = one_cookie(call.head.headers, SESSION_COOKIE) or ""
    if not 0 < len(secret) <= SESSION_SECRET_CHARS:
        return None
    return Confirmation(session_s256=session_binding(secret))


def _challenged(challenge: Challenge) -> Response:
    needed = SecondFactorNeeded(
        challenge=challenge.secret.reveal(),
        lifetime_s=challenge.lifetime_s,
        has_key=challenge.has_key,
    )
    body = msgspec.json.encode(LoginAnswer(second_factor=needed))
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")


def _renewal(call: Call, shown: Confirmation | None) -> Renewal:
    key = call.header("idempotency-key") or ""
    usable = REQUEST_KEY_CHARS[0] <= len(key) <= REQUEST_KEY_CHARS[1]
    return Renewal(shown=shown, request_key=key if usable else None, network=call.network)


def _lacks(person: Person, scopes: frozenset[Scope], how: Authentication) -> bool:
    """Whether a session has less than its person's role, for want of a second factor."""
    return how is not Authentication.KEY and not scopes >= set(person.scopes)


def _delivered(tickets: SessionTickets, *, session_secret: str | None) -> Response:
    """As cookies that belong to the session's secret, or as tokens in the answer."""
    access, refresh = tickets.access.token.reveal(), tickets.refresh.reveal()
    cookies = session_secret is not None
    bound_to_key = tickets.grant.binding is not None and tickets.grant.binding.jkt is not None
    answer = SessionAnswer(
        person=tickets.person,
        expires_at=datetime_of_ns(tickets.access.expires_ns),
        access_token=None if cookies else access,
        refresh_token=None if cookies else refresh,
        token_type=None if cookies else "DPoP" if bound_to_key else "Bearer",
        second_factor_missing=_lacks(
            tickets.person, tickets.grant.scopes, tickets.grant.authentication
        ),
    )
    response = Response(msgspec.json.encode(answer), media_type="application/json")
    if session_secret is not None:
        _set_cookie(response, ACCESS_COOKIE, access, path="/", max_age_s=USER_TOKEN_LIFETIME_S)
        _set_cookie(response, SESSION_COOKIE, session_secret, path="/", max_age_s=IDLE_LIMIT_S)
        _set_cookie(response, REFRESH_COOKIE, refresh, path=AUTH_PATH, max_age_s=IDLE_LIMIT_S)
    return response


def _set_cookie(response: Response, name: str, value: str, *, path: str, max_age_s: int) -> None:
    response.set_cookie(
        name, value, max_age=max_age_s, path=path, secure=True, httponly=True, samesite="strict"
    )
