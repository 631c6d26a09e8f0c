"""What ended while its last access token still lives: those tokens are refused.

A session that ended; all older tokens of a person or an organisation, whose epoch was raised. Each
is remembered for as long as a token of before could live, so nothing here grows without end.
Tokens live by the wall clock: one that is set back gives them a longer life, and this a longer
memory (`kit/both_clocks.py`).
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, TypeVar
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.events import RaisedEpoch
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S
from aitrading.core.security.jwt_manager import LEEWAY_S, VerifiedToken
from aitrading.server.kit.authentication import RevocationView
from aitrading.server.kit.both_clocks import Until

REMEMBER_S: Final = USER_TOKEN_LIFETIME_S + 2 * LEEWAY_S
MAX_ENDED_SESSIONS: Final = 100_000
MAX_RAISED_EPOCHS: Final = 100_000
UNCERTAIN_AFTER_S: Final = 5.0
"""So long a process may hear nothing before it must say that it does not know."""
REVOCATIONS_PATH: Final = "/internal/v1/revocations"


EntryT = TypeVar("EntryT")


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """What one change revoked, or everything that is remembered."""

    sessions: tuple[UUID, ...] = ()
    users: tuple[RaisedEpoch, ...] = ()
    organisations: tuple[RaisedEpoch, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sessions or self.users or self.organisations)


class RevocationState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that counts now, for a process that missed something."""

    feed: UUID
    number: int
    revoked: Revocation


class RevokedTokens(RevocationView):
    """Answers from memory whether a token was revoked, and whether that is certain.

    Beyond `MAX_ENDED_SESSIONS` the oldest are forgotten: at that rate of logouts somebody is
    ending sessions by force, and their tokens still end by themselves. A raised epoch forgets
    nobody: it is one entry for a person however many sessions end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended: dict[UUID, Until] = {}
        self._raised: dict[UUID, tuple[int, Until]] = {}
        self._certain_until_ns: int | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Told at once, in this process, that something more is refused."""

    def add(self, sessions: Iterable[UUID]) -> None:
        """Refuse the tokens of these sessions from now on; a repeat changes nothing."""
        until = Until.after(self._clock, REMEMBER_S)
        for session in sessions:
            self._drop_old()
            self._ended.setdefault(session, until)
            self.on_change()

    def apply(self, revoked: Revocation) -> None:
        """Refuse all that it revokes from now on; a repeat, or an older one, changes nothing."""
        self.add(revoked.sessions)
        until = Until.after(self._clock, REMEMBER_S)
        for raised in (*revoked.users, *revoked.organisations):
            known, _ = self._raised.pop(raised.id, (0, until))
            self._raised[raised.id] = (max(known, raised.epoch), until)
            self.on_change()
        self._drop_old_epochs()

    def recent(self, limit: int) -> tuple[UUID, ...]:
        """Sessions remembered now, the newest first, at most `limit`."""
        self._drop_old()
        return tuple(islice(reversed(self._ended), limit))

    def epochs(self) -> tuple[RaisedEpoch, ...]:
        """Every raised epoch that is remembered; persons' and organisations' ids never meet."""
        self._drop_old_epochs()
        return tuple(RaisedEpoch(id=key, epoch=value[0]) for key, value in self._raised.items())

    def watch(self) -> None:
        """From now on this process must hear regularly that it knows everything."""
        self._certain_until_ns = self._clock.monotonic_ns()

    def confirm(self) -> None:
        """It knows everything as of now."""
        self._certain_until_ns = self._clock.monotonic_ns() + round(UNCERTAIN_AFTER_S * NS_PER_S)

    def doubt(self) -> None:
        """It missed something."""
        self._certain_until_ns = self._clock.monotonic_ns()

    @property
    @override
    def is_certain(self) -> bool:
        """Nothing can have been missed; always so where nobody watches, as at the source itself."""
        until_ns = self._certain_until_ns
        return until_ns is None or self._clock.monotonic_ns() < until_ns

    @override
    def is_revoked(self, token: VerifiedToken) -> bool:
        return (
            token.session in self._ended
            or self._epoch(token.user) > token.user_epoch
            or self._epoch(token.tenant) > token.tenant_epoch
        )

    def __len__(self) -> int:
        return len(self._ended)

    def _epoch(self, of: UUID) -> int:
        found = self._raised.get(of)
        return found[0] if found else 0

    def _drop_old(self) -> None:
        _drop(self._ended, lambda until: until, self._clock, MAX_ENDED_SESSIONS)

    def _drop_old_epochs(self) -> None:
        _drop(self._raised, lambda value: value[1], self._clock, MAX_RAISED_EPOCHS + 1)


def _drop(
    entries: dict[UUID, EntryT], until: Callable[[EntryT], Until], clock: Clock, most: int
) -> None:
    while entries:
        oldest = next(iter(entries))
        if len(entries) < most and not until(entries[oldest]).is_over(clock):
            return
        del entries[oldest]
