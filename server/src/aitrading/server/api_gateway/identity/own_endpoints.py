"""`/api/v1/auth/password` and `…/sessions`: a person's own way in."""

from typing import Final

import msgspec

from aitrading.core.infrastructure.resilience.errors import BULKHEAD_FULL
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.device_endpoints import uuid_of
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN, LOGIN_THROTTLED
from aitrading.server.api_gateway.identity.factors.errors import PROOF_REFUSED
from aitrading.server.api_gateway.identity.own_password import OwnPassword
from aitrading.server.api_gateway.identity.own_sessions import OwnSession, OwnSessions
from aitrading.server.authority.passwords import PASSWORD_TOO_WEAK
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import LOGGED_IN, endpoint, proved_recently
from aitrading.server.kit.limit_levels import LimitKind

PASSWORD_PATH: Final = "/api/v1/auth/password"  # noqa: S105 - an address
SESSIONS_PATH: Final = "/api/v1/auth/sessions"
BODY_LIMIT_BYTES: Final = 4096


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password that you have, and the one that you want."""

    old_password: str
    new_password: str


class PasswordChanged(msgspec.Struct, frozen=True, kw_only=True):
    """It counts from now on, and so many other sessions ended."""

    sessions_ended: int


class OwnSessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Your sessions that live, the newest login first."""

    items: tuple[OwnSession, ...]


class SessionsEnded(msgspec.Struct, frozen=True, kw_only=True):
    """So many sessions ended."""

    sessions_ended: int


class OwnEndpoints:
    """The own password and sessions."""

    def __init__(self, password: OwnPassword, sessions: OwnSessions) -> None:
        self._password = password
        self._sessions = sessions

    @endpoint(
        "POST",
        PASSWORD_PATH,
        access=proved_recently(LOGGED_IN),
        limit=LimitKind.IDENTITY,
        body=PasswordChange,
        answer=PasswordChanged,
        errors=(PASSWORD_TOO_WEAK, PROOF_REFUSED, LOGIN_THROTTLED, BULKHEAD_FULL),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def change_password(self, call: Call) -> PasswordChanged:
        """Change your own password; ends your other sessions. Renew this one's token then."""
        wanted = await call.json(PasswordChange)
        ended = await self._password.change(
            call.token,
            Secret(wanted.old_password),
            Secret(wanted.new_password),
            network=call.network,
        )
        return PasswordChanged(sessions_ended=ended)

    @endpoint(
        "GET",
        SESSIONS_PATH,
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        answer=OwnSessionList,
    )
    async def sessions(self, call: Call) -> OwnSessionList:
        """Where you are logged in: how, since when, and when each was last begun or renewed."""
        return OwnSessionList(items=await self._sessions.list(call.token))

    @endpoint(
        "DELETE",
        SESSIONS_PATH,
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        answer=SessionsEnded,
    )
    async def end_other_sessions(self, call: Call) -> SessionsEnded:
        """End every session of yours but this one; their tokens are refused from now on."""
        return SessionsEnded(sessions_ended=await self._sessions.end_others(call.token))

    @endpoint(
        "DELETE",
        f"{SESSIONS_PATH}/{{session}}",
        access=LOGGED_IN,
        limit=LimitKind.IDENTITY,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def end_session(self, call: Call) -> None:
        """End one session of yours; its tokens are refused from now on."""
        await self._sessions.end(call.token, uuid_of(call.path("session")))
