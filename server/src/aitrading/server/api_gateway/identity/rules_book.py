"""An organisation's own rules of logins, changed by who administers it.

Whoever sets networks without the own one would be out with the next renewal, and with them perhaps
everybody: that is refused unless it is said to be meant. The host can always take the rule back.
"""

from typing import Final, Literal

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.security.network_claim import Network, address_of
from aitrading.server.api_gateway.identity.login_rules import NETWORKS, SECOND_FACTOR, LoginRules
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.api_gateway.identity.tenants import raise_epoch
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.login_settings import admits, parsed_networks
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction

_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/login_rules.sql")

RULES_REFUSED: Final = ErrorSpec(
    code="RULES_REFUSED",
    category=Category.DENIED,
    message="These rules cannot be: {problem}.",
    why="A rule that is misunderstood would lock people out, or let strangers in.",
    remedy="Write networks as CIDR, IPv4 or IPv6; no network at all means everywhere.",
    http_status=422,
    severity=Severity.DEBUG,
)
RULES_WITHOUT_YOU: Final = ErrorSpec(
    code="RULES_WITHOUT_YOU",
    category=Category.DENIED,
    message="You come from a network that is not among these; you would be locked out yourself.",
    why="Whatever you would send next is refused outside the networks that the rules name.",
    remedy="Add your own network, or say that it is meant: `even_without_me`, on the command line "
    "`--even-without-me`. The host can take the rule back: `aitrading config tenant unset "
    "login.networks --tenant NAME`.",
    http_status=409,
    severity=Severity.INFO,
)


class LoginRulesChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules as they shall be; without a network people log in from everywhere."""

    networks: tuple[str, ...]
    second_factor: Literal["all", "admins", "nobody"]
    even_without_me: bool = False


class OwnLoginRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of your organisation."""

    networks: tuple[str, ...]
    second_factor: str
    admit_you: bool
    """Whether they admit the address that asks."""


class RulesBook:
    """Tells and replaces the rules of one organisation."""

    def __init__(
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        rules: LoginRules,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._rules = rules
        self._audit = audit
        self._clock = clock

    async def of(self, tenant: TenantId, *, network: str) -> OwnLoginRules:
        """The rules now, and whether they admit `network`."""
        async with self._replay.pool.tenant_read(tenant) as tx:
            rules = await self._rules.of(tx)
        return OwnLoginRules(
            networks=tuple(map(str, rules.networks)),
            second_factor=rules.second_factor,
            admit_you=rules.admit(network),
        )

    async def replace(
        self, token: VerifiedToken, wanted: LoginRulesChange, *, network: str
    ) -> OwnLoginRules:
        """Set them, from the next login and renewal on; other networks end every token at once.

        Raises `RULES_REFUSED`, or `RULES_WITHOUT_YOU` unless that is meant.
        """
        networks = _understood(wanted)
        inside = admits(networks, address_of(network))
        if not inside and not wanted.even_without_me:
            raise RULES_WITHOUT_YOU.error()
        spelled = ", ".join(map(str, networks))
        new = {NETWORKS: spelled, SECOND_FACTOR: wanted.second_factor}

        async def apply(tx: TenantTransaction) -> Revocation:
            before = (await self._rules.of(tx)).networks
            actor, moment = f"user:{token.user}", now_utc(self._clock)
            for setting, value in new.items():
                text = msgspec.json.encode(value).decode()
                if await tx.fetch_row(_SQL["grant"], setting, text, moment, actor) is None:
                    continue  # it is so already
                event = AuditEvent(
                    actor=actor,
                    action=AuditAction.SETTING_GRANTED,
                    subject=f"setting:{setting}",
                    details={"value": value},
                )
                await self._audit.add(tx, event)
            # what is out carries the list of before
            return Revocation() if networks == before else await raise_epoch(tx, moment)

        await self._sessions.refuse_tokens(await self._replay.once(token.tenant, apply))
        return OwnLoginRules(
            networks=tuple(map(str, networks)),
            second_factor=wanted.second_factor,
            admit_you=inside,
        )

    async def renew_all(self, tenant: TenantId) -> None:
        """Have every token of an organisation renewed, because the host changed its networks."""

        async def apply(tx: TenantTransaction) -> Revocation:
            return await raise_epoch(tx, now_utc(self._clock))

        await self._sessions.refuse_tokens(await self._replay.once(tenant, apply))


def _understood(wanted: LoginRulesChange) -> tuple[Network, ...]:
    try:
        return parsed_networks(" ".join(wanted.networks))
    except ValueError as exc:
        raise RULES_REFUSED.error(problem=str(exc)) from exc
