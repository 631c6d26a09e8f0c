"""A person with an access token, for tests and benchmarks."""

from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import (
    USER_TOKEN_LIFETIME_S,
    Authentication,
    Confirmation,
    Scope,
)
from aitrading.core.security.network_claim import Network
from aitrading.core.security.token_binding import session_binding
from aitrading.server.authority.installation import initialise
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.authentication import ACCESS_COOKIE, SESSION_COOKIE
from aitrading.server.testing.services import ServiceWorld

USER: Final = UserId(UUID(int=7))
SESSION: Final = UUID(int=9)
LIFETIME_S: Final = USER_TOKEN_LIFETIME_S


SESSION_SECRET: Final = "a-secret-of-a-browser"  # noqa: S105 - of tests
IN_A_BROWSER: Final = Confirmation(session_s256=session_binding(SESSION_SECRET))


def browser_cookies(token: str) -> str:
    """The header of a browser whose token is bound `IN_A_BROWSER`."""
    return f"{ACCESS_COOKIE}={token}; {SESSION_COOKIE}={SESSION_SECRET}"


class Earlier(SystemClock):
    """The machine's clock some seconds ago."""

    def __init__(self, seconds: float) -> None:
        self._shift_ns = round(seconds * NS_PER_S)

    @override
    def now_ns(self) -> int:
        return super().now_ns() - self._shift_ns


def access_token(
    world: ServiceWorld,
    tenant: TenantId,
    *,
    age_s: float = 0,
    user: UserId = USER,
    scopes: frozenset[Scope] = frozenset({Scope.READ}),
    networks: tuple[Network, ...] = (),
    binding: Confirmation | None = None,
) -> str:
    """A token that this installation signed `age_s` seconds ago."""
    authority = initialise(world.home, Earlier(age_s), world.ids)
    grant = TokenGrant(
        tenant=tenant,
        user=user,
        session=SESSION,
        scopes=scopes,
        authentication=Authentication.PASSWORD,
        authenticated_ns=world.clock.now_ns(),
        networks=networks,
        binding=binding,
    )
    return authority.user_token_issuer().issue(grant).token.reveal()
