"""Why trading is halted; it is HALTED as long as one reason holds."""

from enum import StrEnum
from typing import Final

import msgspec

from aitrading.core.infrastructure.health import ComponentHealth
from aitrading.core.infrastructure.lifecycle import ComponentState

TRADING: Final = "trading"
NOT_BUILT: Final = "this release has no order engine"


class TradingState(StrEnum):
    """Whether new exposure is possible at all."""

    HALTED = "HALTED"
    ENABLED = "ENABLED"


class HaltReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason: the capability that is missing and what happened to it."""

    name: str
    detail: str


class TradingSwitch:
    """The sum of all reasons to halt. The first one, that no engine exists, never goes away."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {"engine": NOT_BUILT}

    @property
    def state(self) -> TradingState:
        """HALTED while there is a reason."""
        return TradingState.HALTED if self._reasons else TradingState.ENABLED

    @property
    def reasons(self) -> tuple[HaltReason, ...]:
        """Every reason that holds now, oldest first."""
        return tuple(HaltReason(name=name, detail=text) for name, text in self._reasons.items())

    def halt(self, name: str, detail: str) -> None:
        """Add or renew a reason."""
        self._reasons[name] = detail

    def clear(self, name: str) -> None:
        """Take a reason away; only the part that gave it does so."""
        self._reasons.pop(name, None)


def trading_health(switch: TradingSwitch) -> ComponentHealth:
    """Halted trading is no illness of the process: it answers, and says why it is halted."""
    reasons = "; ".join(reason.detail for reason in switch.reasons)
    return ComponentHealth(
        state=ComponentState.HEALTHY,
        critical=False,
        detail=f"every order is refused: {reasons}" if reasons else None,
        fields={TRADING: switch.state.value},
    )
