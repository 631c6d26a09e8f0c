"""Sessions that ended while their last access token still lives: those tokens are refused."""

from collections.abc import Iterable
from itertools import islice
from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S
from aitrading.core.security.jwt_manager import LEEWAY_S, VerifiedToken
from aitrading.server.kit.authentication import RevocationView

REMEMBER_S: Final = USER_TOKEN_LIFETIME_S + 2 * LEEWAY_S
MAX_ENDED_SESSIONS: Final = 100_000


class EndedSessions(RevocationView):
    """Remembers an ended session for as long as a token of it could live.

    Beyond `MAX_ENDED_SESSIONS` the oldest are forgotten: at that rate of logouts somebody is
    ending sessions by force, and their tokens still end by themselves.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended: dict[UUID, int] = {}

    def add(self, sessions: Iterable[UUID]) -> None:
        """Refuse the tokens of these sessions from now on; a repeat changes nothing."""
        now_ns = self._clock.monotonic_ns()
        for session in sessions:
            self._drop_old(now_ns)
            self._ended.setdefault(session, now_ns)

    def recent(self, limit: int) -> tuple[UUID, ...]:
        """Those remembered now, the newest first, at most `limit`."""
        self._drop_old(self._clock.monotonic_ns())
        return tuple(islice(reversed(self._ended), limit))

    @override
    def is_revoked(self, token: VerifiedToken) -> bool:
        return token.session in self._ended

    def __len__(self) -> int:
        return len(self._ended)

    def _drop_old(self, now_ns: int) -> None:
        while self._ended:
            oldest = next(iter(self._ended))
            expired = now_ns - self._ended[oldest] > REMEMBER_S * NS_PER_S
            if not expired and len(self._ended) < MAX_ENDED_SESSIONS:
                return
            del self._ended[oldest]
