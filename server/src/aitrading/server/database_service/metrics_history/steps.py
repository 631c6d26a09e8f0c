"""From samples to steps of equal length; pure."""

from collections.abc import Iterable

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The newest value within one step, and how much a counter grew in it; gauges do not grow."""

    begins_s: int
    value: float
    grown: float | None = None


def steps_of(samples: Iterable[tuple[int, float]], step_s: int, *, counter: bool) -> list[Step]:
    """Samples as (milliseconds, value) in order; steps without one are left out.

    A counter that fell began again at nothing (the process did), so growth is never negative.
    """
    values: dict[int, float] = {}
    grown: dict[int, float] = {}
    before: float | None = None
    for at_ms, value in samples:
        begin = at_ms // 1_000 // step_s * step_s
        more = 0.0 if before is None else value - before if value >= before else value
        values[begin], before = value, value
        grown[begin] = grown.get(begin, 0.0) + more
    return [
        Step(begins_s=begin, value=value, grown=grown[begin] if counter else None)
        for begin, value in values.items()
    ]
