"""`/api/v1/auth/rules`: from where, and with what, the people of an organisation log in."""

from typing import Final

from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.identity.rules_book import (
    RULES_REFUSED,
    RULES_WITHOUT_YOU,
    LoginRulesChange,
    OwnLoginRules,
    RulesBook,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, proved_recently, scope
from aitrading.server.kit.limit_levels import LimitKind

RULES_PATH: Final = "/api/v1/auth/rules"
BODY_LIMIT_BYTES: Final = 16_384


class RulesEndpoints:
    """The rules of the own organisation, for who administers it."""

    def __init__(self, book: RulesBook) -> None:
        self._book = book

    @endpoint(
        "GET",
        RULES_PATH,
        access=scope(Scope.ADMIN),
        limit=LimitKind.IDENTITY,
        answer=OwnLoginRules,
    )
    async def rules(self, call: Call) -> OwnLoginRules:
        """From where your organisation's people log in, and who needs a second factor."""
        return await self._book.of(call.token.tenant, network=call.network)

    @endpoint(
        "PUT",
        RULES_PATH,
        access=proved_recently(scope(Scope.ADMIN)),
        limit=LimitKind.IDENTITY,
        body=LoginRulesChange,
        answer=OwnLoginRules,
        errors=(RULES_REFUSED, RULES_WITHOUT_YOU),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def replace(self, call: Call) -> OwnLoginRules:
        """Set both rules; they act with the next login, renewal and exchange of a key."""
        wanted = await call.json(LoginRulesChange)
        return await self._book.replace(call.token, wanted, network=call.network)
