"""What most parts of a process are: work that goes on behind everybody's back while they live."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet


class LoopingComponent(ABC):
    """A component whose `start` gives its loops to `self._tasks.keep`.

    It is DEGRADED for a minute after one of them failed, and they go on.
    """

    def __init__(
        self, name: str, *, on_error: Callable[[Exception], object] | None = None
    ) -> None:
        self.name = name
        self._state = ComponentState.NEW
        self._tasks = TaskSet(name, on_error=None if on_error is None else _told_to(on_error))

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    @abstractmethod
    async def start(self) -> None:
        """Begin the loops, and be HEALTHY."""

    async def stop(self) -> None:
        """End the loops; nothing of them goes on behind this."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED


def _told_to(on_error: Callable[[Exception], object]) -> Callable[[str, Exception], None]:
    def told(_task: str, exc: Exception) -> None:
        on_error(exc)

    return told
