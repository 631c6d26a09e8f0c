"""The rules of an organisation's logins: from which networks, and who needs a second factor.

They are read in the transaction that they decide about, so a change acts with the next login and
the next renewal, in every process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.security.network_claim import Network, address_of
from aitrading.server.api_gateway.identity.errors import LOGIN_REFUSED
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.login_settings import (
    ADMINS,
    NOBODY,
    LoginSettings,
    admits,
    parsed_networks,
)
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction

STRONG: Final = frozenset({Authentication.MFA, Authentication.HOST})
GRACE: Final = frozenset({Scope.KILL})
"""What is left to who still has to set up a second factor: stopping must always be possible."""
NETWORKS: Final = "login.networks"
SECOND_FACTOR: Final = "login.second_factor"
FIRST_PASSWORD: Final = "login.first_password_h"  # noqa: S105 - the name of a setting
T = TypeVar("T")
_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/login_rules.sql")


class FirstPasswordEndedError(AitradingError):
    """`LOGIN_REFUSED` to whoever asks; to the audit trail, a right password that came too late."""

    def __init__(self) -> None:
        super().__init__(LOGIN_REFUSED)


class OutsideError(AitradingError):
    """`LOGIN_REFUSED` to whoever asks; to the audit trail, a network that is not allowed."""

    def __init__(self) -> None:
        super().__init__(LOGIN_REFUSED)


def noted_as(exc: AitradingError, otherwise: AuditAction) -> AuditAction:
    """What the audit trail calls a refused login: the network, or what else it would be."""
    if isinstance(exc, FirstPasswordEndedError):
        return AuditAction.FIRST_PASSWORD_ENDED
    return AuditAction.NETWORK_REFUSED if isinstance(exc, OutsideError) else otherwise


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What one organisation asks of a login now."""

    networks: tuple[Network, ...]
    second_factor: str
    first_password_h: int

    def admit(self, network: str, how: Authentication | None = None) -> bool:
        """Whether somebody may come from an address; the host's own sessions may from anywhere."""
        return how is Authentication.HOST or admits(self.networks, address_of(network))

    def require_inside(self, network: str, how: Authentication | None = None) -> None:
        """Raise `LOGIN_REFUSED` (`OutsideError`) unless it may."""
        if not self.admit(network, how):
            raise OutsideError

    def scopes(self, role: frozenset[Scope], how: Authentication) -> frozenset[Scope]:
        """What of a role's rights a session has that was proved like this."""
        if self.second_factor == NOBODY or how in STRONG:
            return role
        if self.second_factor == ADMINS and Scope.ADMIN not in role:
            return role
        return role & GRACE


class LoginRules:
    """Reads the rules: the file of settings, and over it what was granted."""

    def __init__(self, of_file: Callable[[TenantId], LoginSettings]) -> None:
        self._of_file = of_file

    async def of(self, tx: TenantTransaction) -> Rules:
        """The rules of the transaction's organisation."""
        known = self._of_file(tx.tenant)
        rows = await tx.fetch(_SQL["granted"])
        granted = {row["setting"]: row["value"] for row in rows}

        def chosen(setting: str, otherwise: T) -> T:
            text = granted.get(setting)
            return otherwise if text is None else msgspec.json.decode(text, type=type(otherwise))

        return Rules(
            networks=parsed_networks(chosen(NETWORKS, known.networks)),
            second_factor=chosen(SECOND_FACTOR, known.second_factor),
            first_password_h=chosen(FIRST_PASSWORD, known.first_password_h),
        )
