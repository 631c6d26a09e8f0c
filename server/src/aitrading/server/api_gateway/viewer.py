"""Who opens a page, and what the page tells them."""

import msgspec
from starlette.requests import Request

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.claims import Scope
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.api_gateway.health.collector import PlatformHealth
from aitrading.server.api_gateway.health.endpoints import for_users
from aitrading.server.api_gateway.identity.model import Person
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.dashboard.report import TerminalView
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.call import head_of
from aitrading.server.kit.postgres import PostgresPool


class TerminalViewer:
    """Joins the platform's report with the person behind a request."""

    def __init__(
        self,
        authenticator: Authenticator,
        sessions: Sessions,
        pool: PostgresPool,
        health: PlatformHealth,
    ) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._pool = pool
        self._health = health

    async def view(self, request: Request) -> TerminalView | None:
        """The terminal of this person; None when nobody is logged in."""
        token = await self._token(request)
        if token is None:
            return None
        person = await self._person(token)
        report = msgspec.structs.asdict(for_users(self._health.report()))
        return TerminalView(
            **report,
            tenant=person.tenant_name,
            user=person.name,
            audits=Scope.AUDIT in token.scopes,
        )

    async def _token(self, request: Request) -> VerifiedToken | None:
        try:
            return await self._authenticator.person(head_of(request))
        except AitradingError:
            return None

    async def _person(self, token: VerifiedToken) -> Person:
        async with self._pool.tenant_read(token.tenant) as tx:
            person, _ = await self._sessions.person(tx, token.user)
        return person
