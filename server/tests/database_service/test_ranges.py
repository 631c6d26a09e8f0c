"""Sets of sequence numbers agree with Python's sets, whatever is added in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from aitrading.server.database_service.ticks.ranges import SequenceRanges, runs_of

RANGES = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 12)), max_size=12)


def as_set(ranges: SequenceRanges) -> set[int]:
    return {number for low, high in ranges.pairs for number in range(low, high + 1)}


@given(RANGES)
def test_adding_is_the_union(parts: list[tuple[int, int]]) -> None:
    ranges = SequenceRanges().with_ranges((low, low + more) for low, more in parts)
    assert as_set(ranges) == {n for low, more in parts for n in range(low, low + more + 1)}
    assert list(ranges.pairs) == runs_of(sorted(as_set(ranges)))


@given(RANGES, st.integers(1, 90), st.integers(0, 30))
def test_missing_is_the_difference(parts: list[tuple[int, int]], low: int, more: int) -> None:
    ranges = SequenceRanges().with_ranges((first, first + rest) for first, rest in parts)
    missing = ranges.missing(low, low + more)
    asked = set(range(low, low + more + 1))
    assert {n for a, b in missing for n in range(a, b + 1)} == asked - as_set(ranges)
    assert missing == runs_of(sorted(asked - as_set(ranges)))


@given(RANGES)
def test_text_and_holes(parts: list[tuple[int, int]]) -> None:
    ranges = SequenceRanges().with_ranges((low, low + more) for low, more in parts)
    assert SequenceRanges.parse(ranges.render()) == ranges
    present = as_set(ranges)
    holes = {n for a, b in ranges.holes() for n in range(a, b + 1)}
    assert holes == set(range(1, ranges.last + 1)) - present


@given(RANGES, st.integers(1, 5))
def test_a_bound_closes_the_oldest_holes_only(parts: list[tuple[int, int]], limit: int) -> None:
    ranges = SequenceRanges().with_ranges((low, low + more) for low, more in parts)
    bounded = ranges.bounded(limit)
    assert len(bounded.pairs) <= limit
    assert bounded.last == ranges.last
    assert bounded.pairs[1:] == ranges.pairs[len(ranges.pairs) - len(bounded.pairs) + 1 :]
    assert as_set(bounded) >= as_set(ranges)


def test_big_numbers_stay_exact() -> None:
    top = (1 << 63) - 2
    ranges = SequenceRanges().with_range(1, top)
    assert SequenceRanges.parse(ranges.render()).last == top
    assert ranges.missing(top, top + 1) == [(top + 1, top + 1)]
