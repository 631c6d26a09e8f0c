"""A probe asks one store, through the port that the running service uses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

PROBE_LIFE_S: Final = 60.0

STORE_ANSWERS_WRONGLY: Final = ErrorSpec(
    code="STORE_ANSWERS_WRONGLY",
    category=Category.FATAL,
    message="The {store} store took what was written and gave back something else: {what}.",
    why="A proxy or a replica stands between, or the server is not the one it should be.",
    remedy="Ask the server itself, at the address of its URL; do not trust this store until then.",
    severity=Severity.ERROR,
)
STORE_NOT_REACHABLE: Final = ErrorSpec(
    code="STORE_NOT_REACHABLE",
    category=Category.RETRYABLE,
    message="The {store} store cannot be reached: {reason}.",
    why="It is stopped, a wall of the network stands between, or its certificate is not trusted.",
    remedy="Start it, or correct its URL and the roots of its certificate; `aitrading status` "
    "shows the engines that run here.",
    http_status=503,
    severity=Severity.WARNING,
)
STORE_TOO_SLOW: Final = ErrorSpec(
    code="STORE_TOO_SLOW",
    category=Category.RETRYABLE,
    message="The {store} store did not finish this step within {limit_s} s.",
    why="It hangs, or is far too busy.",
    remedy="Look at the load of its machine and at its log.",
    http_status=504,
    severity=Severity.WARNING,
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who answers there, and whether this release was tested against it."""

    adapter: str
    verified: bool
    note: str = ""


class StoreProbe(ABC):
    """Five steps; what it writes it deletes, and a probe that was killed harms nobody."""

    store: str
    connects: bool = True
    """Whether there is a connection and a login at all."""

    @abstractmethod
    async def connect(self) -> None:
        """Reach it, without a login; not asked where nothing `connects`."""

    @abstractmethod
    async def authenticate(self) -> Identity:
        """Log in and tell who answers."""

    @abstractmethod
    async def write(self) -> None:
        """Write something of its own."""

    @abstractmethod
    async def read(self) -> None:
        """Read it back; raises `STORE_ANSWERS_WRONGLY` when it is something else."""

    @abstractmethod
    async def delete(self) -> None:
        """Delete it and see that it is gone."""

    def require(self, truth: object, what: str) -> None:
        """Raise `STORE_ANSWERS_WRONGLY` unless something holds."""
        if not truth:
            raise STORE_ANSWERS_WRONGLY.error(store=self.store, what=what)
