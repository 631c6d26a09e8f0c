"""`/api/v1/auth/password`: what a person changes about the own way in."""

from typing import Final

import msgspec

from aitrading.core.infrastructure.resilience.errors import BULKHEAD_FULL
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.errors import LOGIN_THROTTLED
from aitrading.server.api_gateway.identity.factors.errors import PROOF_REFUSED
from aitrading.server.api_gateway.identity.own_password import OwnPassword
from aitrading.server.authority.passwords import PASSWORD_TOO_WEAK
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import LOGGED_IN, endpoint, proved_recently
from aitrading.server.kit.rate_limits import LimitKind

PASSWORD_PATH: Final = "/api/v1/auth/password"  # noqa: S105 - an address
BODY_LIMIT_BYTES: Final = 4096


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password that you have, and the one that you want."""

    old_password: str
    new_password: str


class PasswordChanged(msgspec.Struct, frozen=True, kw_only=True):
    """It counts from now on, and so many other sessions ended."""

    sessions_ended: int


class OwnEndpoints:
    """The own password."""

    def __init__(self, password: OwnPassword) -> None:
        self._password = password

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
