"""Is this code one of the person's, now, for the first time? Decided in one transaction.

The person's row is locked while a code is looked at, so parallel tries wait for each other and
wrong ones are counted over every process and network. Who gets a code refused has proved the
password, or holds a session; a session that is used to guess ends (`step_up`), so neither can
lengthen the wait for ever without being noticed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import NS_PER_S, Clock, now_utc
from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.factors.errors import (
    SECOND_FACTOR_REFUSED,
    SECOND_FACTOR_THROTTLED,
)
from aitrading.server.api_gateway.identity.factors.recovery_codes import index_of, normalised_code
from aitrading.server.api_gateway.identity.factors.totp import DIGITS, matching_step, normalised
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import TOTP_SECRET
from aitrading.server.personal_data.keys import FieldKeys

FREE_FAILURES: Final = 5
MAX_WAIT_S: Final = 3_600
SQL: Final = Queries.load(__package__ or "", "factors.sql")


class Kind(StrEnum):
    """What a person has besides the password."""

    TOTP = "totp"
    RECOVERY = "recovery"
    KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How a look at a code, or at a key's answer, ended; `kind` is what was accepted."""

    kind: Kind | None = None
    wait_s: int = 0
    failures: int = 0
    """Wrong codes and answers in a row, this one among them."""

    def require(self, refusal: ErrorSpec = SECOND_FACTOR_REFUSED) -> None:
        """Raise `refusal` or `SECOND_FACTOR_THROTTLED` unless it was accepted.

        Called after the transaction: the count of a refused code is to be kept.
        """
        if self.wait_s:
            raise SECOND_FACTOR_THROTTLED.error(retry_after_s=self.wait_s)
        if self.kind is None:
            raise refusal.error()


class Codes:
    """Accepts each code of an app and each recovery code once."""

    def __init__(self, *, keys: FieldKeys, audit: AuditTrail, clock: Clock) -> None:
        self._keys = keys
        self._audit = audit
        self._clock = clock

    async def check(self, tx: TenantTransaction, user: UUID, typed: Secret[str]) -> Checked:
        """Use up the code, if it is one; count it, if it is none."""
        moment = now_utc(self._clock)
        row = await tx.fetch_row(SQL["hold_failures"], user)
        if row is None:
            return Checked()
        failures = int(row["code_failures"])
        remaining_s = _remaining_s(failures, row["code_failed_at"], moment)
        if remaining_s > 0:
            return Checked(wait_s=remaining_s)
        kind = await self._accepted(tx, user, typed.reveal().strip())
        return await _settled(tx, user, kind, failures, moment)

    async def _accepted(self, tx: TenantTransaction, user: UUID, typed: str) -> Kind | None:
        digits = normalised(typed)
        if len(digits) == DIGITS and digits.isdecimal() and digits.isascii():
            return Kind.TOTP if await self._use_step(tx, user, digits) else None
        recovery = normalised_code(typed)
        if recovery is not None and await self._use_recovery(tx, user, recovery):
            return Kind.RECOVERY
        return None

    async def _use_step(self, tx: TenantTransaction, user: UUID, code: str) -> bool:
        row = await tx.fetch_row(SQL["find_totp"], user)
        if row is None:
            return False
        fields = await self._keys.of(tx)
        secret = Secret(fields.open(TOTP_SECRET, row["id"], row["secret_sealed"]))
        step = matching_step(secret, code, self._clock.now_ns() // NS_PER_S)
        if step is None:
            return False
        return await tx.fetch_row(SQL["use_totp_step"], row["id"], step) is not None

    async def _use_recovery(self, tx: TenantTransaction, user: UUID, code: str) -> bool:
        index = index_of(await self._keys.of(tx), user, code)
        used = await tx.fetch_row(SQL["use_recovery_code"], user, index, now_utc(self._clock))
        if used is None:
            return False
        left = await tx.fetch_value(SQL["count_recovery_codes"], user)
        event = AuditEvent(
            actor=f"user:{user}",
            action=AuditAction.RECOVERY_CODE_USED,
            subject=f"user:{user}",
            details={"left": int(left)},
        )
        await self._audit.add(tx, event)
        return True


async def settled(
    tx: TenantTransaction, user: UUID, kind: Kind | None, moment: datetime
) -> Checked:
    """Count a look that waits for nobody: a key's answer cannot be guessed, only sent in vain."""
    failures: int | None = await tx.fetch_value(SQL["hold_failures"], user)
    return Checked() if failures is None else await _settled(tx, user, kind, failures, moment)


async def _settled(
    tx: TenantTransaction, user: UUID, kind: Kind | None, failures: int, moment: datetime
) -> Checked:
    if kind is None:
        await tx.execute(SQL["note_failure"], user, failures + 1, moment)
        return Checked(failures=failures + 1)
    await tx.execute(SQL["forget_failures"], user)
    return Checked(kind=kind)


def wait_s(failures: int) -> int:
    """Nothing for the first wrong codes, then 1, 2, 4, … seconds up to an hour."""
    over = failures - FREE_FAILURES
    return min(1 << min(over, MAX_WAIT_S.bit_length()), MAX_WAIT_S) if over >= 0 else 0


def _remaining_s(failures: int, failed_at: datetime | None, moment: datetime) -> int:
    if failed_at is None:
        return 0
    longest_s = wait_s(failures)
    ends = failed_at + timedelta(seconds=longest_s)
    rest_s = (ends - moment).total_seconds()
    return ceil(max(0.0, min(rest_s, longest_s)))  # no longer for a clock that was set back
