"""Who asks for most of its limit is loud; who asks alike is loud alike; nobody is for long."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.ids import TenantId
from aitrading.server.kit import load_demand as module
from aitrading.server.kit.load_demand import LoadDemand

A, B, C = (TenantId(UUID(int=number)) for number in (1, 2, 3))


def asked(*requests: tuple[TenantId, int, int]) -> LoadDemand:
    """Of organisations that sent so many requests, with so many a minute."""
    demand = LoadDemand()
    for tenant, number, per_minute in requests:
        for _ in range(number):
            demand.note(tenant, per_minute)
    return demand


def test_one_that_asks_for_much_is_loud_alone() -> None:
    assert asked((A, 1000, 12_000), (B, 100, 12_000), (C, 1, 12_000)).loud() == {A}


def test_who_asks_alike_is_loud_alike() -> None:
    assert asked((A, 100, 12_000), (B, 90, 12_000), (C, 60, 12_000)).loud() == {A, B, C}
    assert asked().loud() == frozenset()


def test_a_larger_plan_may_ask_for_more() -> None:
    assert asked((A, 1000, 60_000), (B, 500, 6_000)).loud() == {B}


def test_it_is_forgotten_within_seconds() -> None:
    demand = asked((A, 1000, 12_000))
    for _second in range(10):
        demand.fade()
        for _ in range(20):
            demand.note(B, 12_000)
    assert demand.loud() == {A, B}
    for _second in range(100):
        demand.fade()
    assert demand.loud() == frozenset()


def test_what_is_kept_is_bounded() -> None:
    demand = LoadDemand()
    for number in range(module.ORGANISATIONS_MAX + 10):
        demand.note(TenantId(UUID(int=number)), 12_000)
    assert len(demand.loud()) == module.ORGANISATIONS_MAX


@given(st.dictionaries(st.sampled_from([A, B, C]), st.integers(1, 500), min_size=1))
def test_the_loudest_is_always_among_them(numbers: dict[TenantId, int]) -> None:
    demand = asked(*((tenant, number, 12_000) for tenant, number in numbers.items()))
    assert max(numbers, key=lambda tenant: numbers[tenant]) in demand.loud()
