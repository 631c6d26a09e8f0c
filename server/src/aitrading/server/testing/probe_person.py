"""A person with an access token, for tests and benchmarks."""

from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S, Authentication, Scope
from aitrading.server.authority.installation import initialise
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.testing.services import ServiceWorld

USER: Final = UserId(UUID(int=7))
SESSION: Final = UUID(int=9)
LIFETIME_S: Final = USER_TOKEN_LIFETIME_S


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
    )
    return authority.user_token_issuer().issue(grant).token.reveal()
