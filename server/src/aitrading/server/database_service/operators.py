"""Who operates the platform: administrators of the organisation named `platform`, and the host.

The scope `admin` alone is not enough: every customer's owner has it, for the customer's own things.
Only the host can create an organisation, so only the host decides who operates.
"""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.security.claims import Scope
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

OPERATORS: Final = "platform"
_SQL: Final = Queries.load("aitrading.server.database_service", "operators.sql")

OPERATOR_NEEDED: Final = ErrorSpec(
    code="OPERATOR_NEEDED",
    category=Category.DENIED,
    message="Only the platform's operators may do this.",
    why="It concerns every organisation, and you administrate one of them.",
    remedy="Ask who runs the platform. Operators are administrators of the organisation "
    "`platform`: `aitrading tenant create platform`.",
    http_status=403,
    severity=Severity.INFO,
)


class Operators:
    """Tells operators from other administrators."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def are(self, token: VerifiedToken) -> bool:
        """The token is an operator's."""
        if Scope.ADMIN not in token.scopes:
            return False
        async with self._pool.platform_read() as tx:
            return bool(await tx.fetch_value(_SQL["tenant_name"], token.tenant) == OPERATORS)

    async def require(self, token: VerifiedToken) -> None:
        """Raise `OPERATOR_NEEDED`."""
        if not await self.are(token):
            raise OPERATOR_NEEDED.error()
