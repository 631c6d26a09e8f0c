"""Admitted and dismissed services on their way into the audit trail.

The supervisor has no database. It notes each change in a file before it counts, and gives the notes
to the database service, again and again until it has them: each has its id and is audited once.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import IdFactory
from aitrading.server.engines.files import replace_private
from aitrading.server.kit.audit_api import SERVICE_CHANGES_PATH, ServiceChange

JOURNAL_FILE: Final = Path("keys", "guest-changes.json")
MAX_NOTES: Final = 1_000
TELL_EVERY_S: Final = 5.0
_log = logging.getLogger(__name__)

SERVICE_CHANGES_FULL = ErrorSpec(
    code="SERVICE_CHANGES_FULL",
    category=Category.RETRYABLE,
    message="{waiting} changes of admitted services wait to be audited; no more are made.",
    why="The database service did not take them for a long time.",
    remedy="Bring it back: `aitrading doctor`. Then repeat the command.",
)
SERVICE_CHANGES_DAMAGED = ErrorSpec(
    code="SERVICE_CHANGES_DAMAGED",
    category=Category.FATAL,
    message="{path} does not say which changes of admitted services wait: {problem}.",
    why="The file was changed by hand, or the disk lost what it had confirmed.",
    remedy="Restore it from a backup, or remove it: what it held is in the supervisor's log only.",
)


class GuestJournal:
    """What was changed and is not in the audit trail yet."""

    def __init__(self, path: Path, clock: Clock, ids: IdFactory) -> None:
        self._path = path
        self._clock = clock
        self._ids = ids
        self._notes = _read(path)

    @property
    def waiting(self) -> tuple[ServiceChange, ...]:
        """The oldest first."""
        return tuple(self._notes)

    def note(self, service: str, *, admitted: bool) -> None:
        """On disk when this returns; raises SERVICE_CHANGES_FULL."""
        if len(self._notes) >= MAX_NOTES:
            raise SERVICE_CHANGES_FULL.error(waiting=len(self._notes))
        change = ServiceChange(
            id=self._ids.new(),
            occurred_ns=self._clock.now_ns(),
            service=service,
            admitted=admitted,
        )
        self._keep([*self._notes, change])

    async def tell(self, call: Callable[[Mapping[str, Any]], Awaitable[object]]) -> None:
        """Give every note to the database service; raises the reason when it takes one not."""
        for change in self.waiting:
            await call(
                {
                    "peer": "database-service",
                    "method": "POST",
                    "path": SERVICE_CHANGES_PATH,
                    "body": msgspec.to_builtins(change),
                }
            )
            self._keep([each for each in self._notes if each.id != change.id])

    async def tell_for_ever(self, call: Callable[[Mapping[str, Any]], Awaitable[object]]) -> None:
        """Try again whenever something waits."""
        while True:
            await self._clock.sleep(TELL_EVERY_S)
            try:
                await self.tell(call)
            except (AitradingError, OSError) as exc:
                _log.warning("changes of admitted services are not audited yet: %s", exc)

    def _keep(self, notes: list[ServiceChange]) -> None:
        replace_private(self._path, msgspec.json.encode(notes), durable=True)
        self._notes = notes


def _read(path: Path) -> list[ServiceChange]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ServiceChange])
    except FileNotFoundError:
        return []
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
        raise SERVICE_CHANGES_DAMAGED.error(path=str(path), problem=str(exc)) from exc
