"""What was denied to whom, folded in memory until the audit trail has it.

Nothing here waits for anything, and only what is denied comes here. The first denial of a kind is
told, then the second, the fourth, the eighth …, so n of them leave log2(n) events in an hour. One
person has events of `MAX_KINDS_OF_PERSON` kinds, one organisation of `MAX_KINDS_OF_TENANT`; beyond
that they are counted together, and what nobody has room for is counted too.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from aitrading.core.infrastructure.events import Denied
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import current_context
from aitrading.core.security.crypto import sha256
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.tenancy import PLATFORM

WINDOW_S: Final = 3600
MAX_KINDS_OF_PERSON: Final = 20
"""In one window; a kind is an action with its reason and what was asked for."""
MAX_KINDS_OF_TENANT: Final = 200
MAX_KINDS: Final = 5_000
"""In one window, of all organisations together."""
MAX_COUNTED: Final = 10_000
"""With those that are an organisation's as a whole."""
SALT_BYTES: Final = 16
SOURCE_CHARS: Final = 8
SEVERAL: Final = "several"
_Kind = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One of them: to whom, what, why, and from which address.

    `actor` was proved by a signature of this installation, never claimed. `subject` is what was
    asked for as its endpoint is declared: nobody chooses what it says.
    """

    action: AuditAction
    tenant: TenantId
    actor: str
    subject: str
    reason: str
    address: str = ""


class Denials:
    """The book of one process."""

    def __init__(
        self, service: str, *, clock: Clock, ids: IdFactory, randomness: Randomness
    ) -> None:
        self._service = service
        self._clock = clock
        self._ids = ids
        self._salt = randomness.token(SALT_BYTES)
        self._waiting: dict[_Kind, Denied] = {}
        self._untold = 0
        self.dropped = 0
        """For which there was no room, since the start."""
        self._begin()

    @property
    def waiting(self) -> int:
        """Events that are not told yet."""
        return len(self._waiting)

    def note(self, denial: Denial) -> None:
        """Count it; what is due waits for the next telling."""
        if self._clock.monotonic_ns() - self._began_ns > WINDOW_S * NS_PER_S:
            self._begin()
        kind = self._kind(denial)
        if kind is None:
            self._drop()
            return
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        waiting = self._waiting.get(kind)
        if waiting is not None:
            self._waiting[kind] = msgspec.structs.replace(waiting, count=waiting.count + 1)
        elif count & (count - 1):
            return
        elif len(self._waiting) >= MAX_COUNTED:
            self._drop()
        else:
            self._waiting[kind] = self._event(denial, kind, count)

    def take(self, most: int) -> tuple[Denied, ...]:
        """The oldest that wait, at most so many; who takes them tells them until they are taken."""
        kinds = list(self._waiting)[:most]
        taken = [self._waiting.pop(kind) for kind in kinds]
        if self._untold and len(taken) < most:
            lost = Denial(
                action=AuditAction.ACCESS_UNTOLD,
                tenant=PLATFORM,
                actor=f"service:{self._service}",
                subject=self._service,
                reason="no_room",
            )
            taken.append(self._event(lost, (), self._untold))
            self._untold = 0
        return tuple(taken)

    def _begin(self) -> None:
        self._began_ns = self._clock.monotonic_ns()
        self._counts: dict[_Kind, int] = {}
        self._kinds_of: dict[_Kind, int] = {}
        """New ones of each person, and of each organisation."""

    def _kind(self, denial: Denial) -> _Kind | None:
        """As exact as there is room for; None when there is none."""
        tenant = str(denial.tenant)
        exact = (tenant, denial.action, denial.actor, denial.reason, denial.subject)
        of_person = (tenant, denial.action, denial.actor)
        of_tenant = (tenant, denial.action)
        for known in (exact, of_person, of_tenant):
            if known in self._counts:
                return known
        if len(self._counts) >= MAX_KINDS:
            return of_tenant if len(self._counts) < MAX_COUNTED else None
        if self._one_more((tenant,)) > MAX_KINDS_OF_TENANT:
            return of_tenant
        if self._one_more((tenant, denial.actor)) > MAX_KINDS_OF_PERSON:
            return of_person
        return exact

    def _one_more(self, whose: _Kind) -> int:
        count = self._kinds_of[whose] = self._kinds_of.get(whose, 0) + 1
        return count

    def _event(self, denial: Denial, kind: _Kind, count: int) -> Denied:
        exact = not kind or kind[-1] == denial.subject
        whole_tenant = len(kind) == 2  # noqa: PLR2004 - an organisation and an action
        return Denied(
            id=self._ids.new(),
            tenant=denial.tenant,
            action=denial.action,
            actor=SEVERAL if whole_tenant else denial.actor,
            subject=denial.subject if exact else SEVERAL,
            reason=denial.reason if exact else SEVERAL,
            count=count,
            source=self._source(denial.address),
            occurred_ns=self._clock.now_ns(),
            trace_id=current_context().trace_id or None,
        )

    def _drop(self) -> None:
        self._untold += 1
        self.dropped += 1

    def _source(self, address: str) -> str:
        """Tells addresses apart until the next start of this process, and leads back to none."""
        return sha256(self._salt + address.encode()).hex()[:SOURCE_CHARS] if address else ""
