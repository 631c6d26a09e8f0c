"""Who is asked what: a value, so every order of events can be tried."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from aitrading.client.terminal.calls import Call, Lane
from aitrading.client.terminal.pool.dispatcher import FIRST, Dispatcher, DispatchRules, Question

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(Lane), st.sampled_from(["", "A", "B"])),
        st.tuples(st.sampled_from(["ready", "done", "gone"]), st.integers(0, 4)),
    ),
    max_size=80,
)


def dispatcher(*, alone: bool = False, shares: bool = True) -> Dispatcher:
    return Dispatcher(DispatchRules(queue_max=1_000, is_alone=alone, shares_terminal=shares))


def question(lane: Lane, number: int = 0, key: str = "") -> Question:
    return Question(lane=lane, calls=(Call(str(number)),), queued_ns=number, key=key)


@given(events=EVENTS, shares=st.booleans())
def test_whatever_happens_the_rules_hold(
    events: list[tuple[object, object]], shares: bool
) -> None:
    queue, given_out = dispatcher(shares=shares), defaultdict[str, list[int]](list)
    asked = 0
    for number, (what, which) in enumerate(events):
        if isinstance(what, Lane):
            asked += 1
            queue.submit(question(what, number, str(which) if what is Lane.ORDERS else ""))
        elif which in queue.running and what != "ready":
            queue.done(int(str(which))) if what == "done" else queue.gone(int(str(which)))
        elif what == "gone":
            queue.gone(int(str(which)))
        elif what == "ready":
            queue.ready(int(str(which)))
        for slot, one in queue.assign():
            asked -= 1
            given_out[one.key].append(one.queued_ns)
            assert one.lane is not Lane.HISTORY or slot != FIRST
            assert one.lane is not Lane.TICKS or slot == FIRST
            assert shares or one.lane is Lane.HISTORY or slot == FIRST
        keys = [one.key for one in queue.running.values() if one.key]
        assert len(keys) == len(set(keys)), "orders of one key never run beside each other"
        assert queue.waiting == asked, "nothing is lost, nothing is given out twice"
    for key in ("A", "B"):
        assert given_out[key] == sorted(given_out[key]), "orders of a key keep their order"


def test_of_what_waits_orders_go_first_and_history_last() -> None:
    queue = dispatcher(alone=True)
    for number, lane in enumerate(reversed(Lane)):
        queue.submit(question(lane, number))
    seen: list[Lane] = []
    queue.ready(FIRST)
    while assigned := list(queue.assign()):
        seen += [one.lane for _, one in assigned]
        queue.done(FIRST)
    assert seen == list(Lane)


def test_history_holds_at_most_half_of_the_further_workers() -> None:
    queue = dispatcher()
    for slot in range(5):
        queue.ready(slot)
    for number in range(10):
        queue.submit(question(Lane.HISTORY, number))
    assert len(list(queue.assign())) == 2
    queue.submit(question(Lane.ORDERS))
    [(slot, _)] = queue.assign()
    assert slot != FIRST, "the first worker is kept for ticks while another is free"


def test_what_waited_too_long_is_given_back() -> None:
    queue = dispatcher()
    old, young = question(Lane.READS, 1), question(Lane.READS, 9)
    queue.submit(old)
    queue.submit(young)
    assert queue.overdue(5) == [old]
    queue.ready(FIRST)
    assert [one for _, one in queue.assign()] == [young]
