"""What a process does for its own hardening, and what of it really holds.

Systems answer "done" to requests that they ignore. So nothing here believes an answer: a measure
holds when reading it back says so, and a standing that claims to hold without a reading cannot be
made.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

IGNORED: Final = "the system answered that it was done, and reading back shows that it was not"


class Outcome(StrEnum):
    """How a measure stands."""

    ENFORCED = "enforced"
    """We set it, and reading it back shows it."""
    VERIFIED = "verified"
    """It was on before; we changed nothing."""
    UNSUPPORTED = "unsupported"
    """It cannot be enforced from here, and is not on; the reason is told."""
    REFUSED = "refused"
    """We tried, and it is not on."""


class UnreadableError(Exception):
    """A measure whose state this system does not tell."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure: how to see it, how to set it, or why it is not set."""

    name: str
    against: str
    """What it makes harder, for people."""
    read: Callable[[], int]
    """The state as a number; raises `UnreadableError` or `OSError`."""
    is_on: Callable[[int], bool]
    apply: Callable[[], None] | None = None
    """Ask the system for it; what it answers is not believed. Raises `OSError`."""
    cannot: str = ""
    """Why it has no `apply`."""
    untold: str = ""
    """Why no system tells its state: then it is asked for, and nobody claims it."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one measure stands in this process."""

    name: str
    against: str
    outcome: Outcome
    before: int | None = None
    after: int | None = None
    why: str = ""

    def __post_init__(self) -> None:
        """Refuse a claim without a reading."""
        if self.holds and self.after is None:
            raise ValueError(f"{self.name} claims to hold and was not read back")

    @property
    def holds(self) -> bool:
        """Reading back showed it."""
        return self.outcome in {Outcome.ENFORCED, Outcome.VERIFIED}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "outcome": str(self.outcome),
            "before": self.before,
            "after": self.after,
            "why": self.why,
        }


def enforce_all(measures: Iterable[Measure]) -> tuple[Standing, ...]:
    """Set what can be set and read everything back."""
    return tuple(enforce(measure) for measure in measures)


def enforce(measure: Measure) -> Standing:
    """Set one measure if it is off and can be set; never raises."""
    return _ask_blindly(measure) if measure.untold else _set_and_read(measure)


def _ask_blindly(measure: Measure) -> Standing:
    outcome, why = Outcome.UNSUPPORTED, f"asked for; {measure.untold}"
    try:
        if measure.apply is not None:
            measure.apply()
    except UnreadableError as exc:
        why = str(exc)
    except OSError as exc:
        outcome, why = Outcome.REFUSED, str(exc)
    return Standing(name=measure.name, against=measure.against, outcome=outcome, why=why)


def _set_and_read(measure: Measure) -> Standing:
    def stands(outcome: Outcome, **more: Any) -> Standing:
        return Standing(name=measure.name, against=measure.against, outcome=outcome, **more)

    try:
        before = measure.read()
    except (UnreadableError, OSError) as exc:
        return stands(Outcome.UNSUPPORTED, why=f"its state cannot be read: {exc}")
    if measure.is_on(before):
        return stands(Outcome.VERIFIED, before=before, after=before)
    if measure.apply is None:
        return stands(Outcome.UNSUPPORTED, before=before, after=before, why=measure.cannot)
    try:
        measure.apply()
        after = measure.read()
    except (UnreadableError, OSError) as exc:
        return stands(Outcome.REFUSED, before=before, why=str(exc))
    if measure.is_on(after):
        return stands(Outcome.ENFORCED, before=before, after=after)
    return stands(Outcome.REFUSED, before=before, after=after, why=IGNORED)
