"""`/api/v1/auth/rules`: from where, and with what, the people of an organisation log in."""

from typing import Final

import msgspec

from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
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


class TenantNamed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation, by name or id."""

    tenant: str


class RulesEndpoints:
    """The rules of the own organisation, for who administers it."""

    def __init__(self, book: RulesBook, administration: Administration) -> None:
        self._book = book
        self._administration = administration

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
        """Set both rules; with other networks every token of your organisation is renewed at once."""
        wanted = await call.json(LoginRulesChange)
        return await self._book.replace(call.token, wanted, network=call.network)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/login-rules/changed",
        access=ADMIN,
        body=TenantNamed,
        answer=Done,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def changed(self, call: Call) -> Done:
        """Refuse every token of an organisation whose networks the host has just changed."""
        wanted = await call.json(TenantNamed)
        await self._book.renew_all(await self._administration.tenant(wanted.tenant))
        return Done()
