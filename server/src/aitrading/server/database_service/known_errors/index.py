"""ErrorIndex: which earlier errors are like this one, for one organisation at a time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from aitrading.core.kit.ids import TenantId

Vector = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """An indexed error and the cosine between it and what was asked for."""

    fingerprint: str
    similarity: float


class ErrorIndex(ABC):
    """A port; every adapter passes one contract suite.

    Vectors have `DIMENSIONS` members and unit length. Nothing of another tenant is ever found.
    Raises the store's own typed error when it cannot answer.
    """

    @property
    @abstractmethod
    def kind(self) -> str:
        """What keeps the vectors, for `doctor`."""

    @abstractmethod
    async def mark(self) -> str:
        """Prepare the store, and tell what to mark with that which is indexed in it.

        Another store, and the same one after it lost its vectors, has another mark.
        """

    @abstractmethod
    async def put(self, tenant: TenantId, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors by fingerprint; repeating replaces."""

    @abstractmethod
    async def nearest(self, tenant: TenantId, vector: Vector, limit: int) -> list[Neighbour]:
        """The most similar ones, nearest first; equal ones in the order of their fingerprints."""

    @abstractmethod
    async def remove(self, tenant: TenantId, fingerprints: list[str]) -> None:
        """Forget; unknown ones are no error."""

    def close(self) -> None:  # noqa: B027 - most adapters have nothing to close
        """Hang up; an adapter without connections of its own has nothing to do."""
