"""Who asks for most of what it is entitled to: whose limits shrink first while it is too much.

A request weighs as much of its organisation's limit as it is: who bought more may ask for more
before it counts as loud. What was refused counts too, so that nobody becomes quiet by being refused.
"""

from typing import Final

from aitrading.core.kit.ids import TenantId

ORGANISATIONS_MAX: Final = 20_000
"""Whoever comes later is not counted, and so is quiet."""
LOUD_FROM: Final = 0.5
"""Of what the loudest asks for: who asks alike is treated alike."""
KEPT_PER_S: Final = 0.8
FORGOTTEN: Final = 1e-6
"""Minutes of a limit; a request of the largest plan is more."""


class LoadDemand:
    """In minutes of their limits, what organisations asked of this process in the last seconds."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: dict[TenantId, float] = {}

    def note(self, tenant: TenantId, per_minute: int) -> None:
        """One request, whatever became of it; `per_minute` is the organisation's whole limit."""
        if tenant in self._asked or len(self._asked) < ORGANISATIONS_MAX:
            self._asked[tenant] = self._asked.get(tenant, 0.0) + 1 / per_minute

    def fade(self) -> None:
        """A second went by."""
        faded = ((tenant, asked * KEPT_PER_S) for tenant, asked in self._asked.items())
        self._asked = {tenant: asked for tenant, asked in faded if asked >= FORGOTTEN}

    def loud(self) -> frozenset[TenantId]:
        """Who asks for most, and who asks for at least half as much as that."""
        least = LOUD_FROM * max(self._asked.values(), default=0.0)
        return frozenset(tenant for tenant, asked in self._asked.items() if asked >= least)
