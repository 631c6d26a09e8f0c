"""How often a terminal is asked."""

from aitrading.client.metatrader_connector.pace import PollPace


def pauses(pace: PollPace, *found: bool, took_ms: int = 0) -> list[float]:
    told: list[float] = []
    for each in found:
        pace.note(found=each)
        told.append(round(pace.pause_s(took_ms * 1_000_000) * 1_000, 2))
    return told


def test_a_busy_market_is_asked_as_often_as_allowed() -> None:
    assert pauses(PollPace(shortest_ms=10, longest_ms=40), True, True, True) == [10, 10, 10]


def test_a_quiet_one_less_and_less_often_up_to_a_limit() -> None:
    pace = PollPace(shortest_ms=10, longest_ms=40)
    assert pauses(pace, *(False,) * 5) == [15, 22.5, 33.75, 40, 40]
    assert pauses(pace, True, False) == [10, 15]


def test_a_limit_below_the_shortest_pause_is_that_pause() -> None:
    assert pauses(PollPace(shortest_ms=50, longest_ms=40), True, False, False) == [50, 50, 50]


def test_what_a_question_took_is_no_pause_on_top() -> None:
    pace = PollPace(shortest_ms=10, longest_ms=40)
    assert pauses(pace, True, took_ms=4) == [6]
    assert pauses(pace, False, took_ms=4) == [11]


def test_a_slow_terminal_rests_half_as_long_as_it_worked() -> None:
    assert pauses(PollPace(shortest_ms=10, longest_ms=40), True, took_ms=100) == [50]
