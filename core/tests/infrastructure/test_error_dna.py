"""INF-10: what makes two errors the same, and what a foreign error is called."""

import errno
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure import error_table
from aitrading.core.infrastructure.error_dna import dna_of, fingerprint_of, message_of
from aitrading.core.infrastructure.error_table import ErrorTable
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

FULL = ErrorSpec(
    code="TEST_FULL",
    category=Category.RETRYABLE,
    message="{used_bytes} bytes are used.",
    why="A test.",
    remedy="Free some.",
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)


def caught(raise_it: Callable[[], None]) -> Exception:
    try:
        raise_it()
    except Exception as exc:  # noqa: BLE001 - the test looks at it
        return exc
    raise AssertionError("it did not raise")


def test_the_same_place_and_kind_have_one_fingerprint_whatever_the_numbers() -> None:
    def lookup(number: int) -> None:
        raise LookupError(f"row {number} of '/var/lib/x{number}' at 0x{number:x} is gone")

    first, second = caught(lambda: lookup(1)), caught(lambda: lookup(98_765))
    assert fingerprint_of(first) == fingerprint_of(second)


def test_another_type_place_message_or_cause_is_another_error() -> None:
    def one() -> None:
        raise LookupError("gone")

    def two() -> None:
        raise LookupError("gone")

    def other_type() -> None:
        raise KeyError("gone")

    def other_message() -> None:
        raise LookupError("never there")

    def with_cause() -> None:
        raise LookupError("gone") from OSError("disk")

    errors = [caught(each) for each in (one, two, other_type, other_message, with_cause)]
    assert len({fingerprint_of(error) for error in errors}) == len(errors)


@given(st.text(max_size=300))
def test_a_fingerprint_is_16_hexadecimal_digits_for_any_message(message: str) -> None:
    fingerprint = fingerprint_of(ValueError(message))
    assert len(fingerprint) == 16
    int(fingerprint, 16)


@given(st.uuids(), st.uuids())
def test_ids_do_not_make_a_difference(one: object, two: object) -> None:
    assert fingerprint_of(ValueError(f"device {one}")) == fingerprint_of(
        ValueError(f"device {two}")
    )


def test_our_own_errors_keep_their_specification() -> None:
    error = FULL.error(used_bytes=10)
    dna = dna_of(error)
    assert (dna.code, dna.category, dna.severity) == (
        "TEST_FULL",
        Category.RETRYABLE,
        Severity.CRITICAL,
    )
    assert (dna.impact, dna.remedy) == (Impact.MARKET_DATA, "Free some.")
    assert message_of(error) == "10 bytes are used."
    assert fingerprint_of(error) == fingerprint_of(FULL.error(used_bytes=20))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError(), "TIMED_OUT"),
        (ConnectionResetError(), "CONNECTION_LOST"),
        (EOFError(), "CONNECTION_LOST"),
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (OSError(errno.EROFS, "Read-only file system"), "DISK_FULL"),
        (PermissionError(), "FORBIDDEN_BY_SYSTEM"),
        (MemoryError(), "OUT_OF_MEMORY"),
        (ZeroDivisionError(), "UNEXPECTED"),
    ],
)
def test_foreign_errors_get_the_nearest_code(error: Exception, code: str) -> None:
    dna = dna_of(error)
    assert dna.code == code
    assert dna.remedy


def test_repeats_are_folded_and_counted() -> None:
    table, dna = ErrorTable(), dna_of(ValueError("x"))
    for second in range(3):
        record = table.fold(
            dna, message=f"m{second}", tenant=f"t{second}", trace_id=None, now_ns=second * NS_PER_S
        )
    assert (record.count, record.message, record.tenant) == (3, "m2", "t2")
    assert (record.first_seen_ns, record.last_seen_ns) == (0, 2 * NS_PER_S)
    assert len(table) == 1


def test_a_steady_rate_reads_as_itself_and_fades() -> None:
    table, dna = ErrorTable(), dna_of(ValueError("x"))
    now_ns = 0
    for _ in range(600):
        now_ns += NS_PER_S // 2
        record = table.fold(dna, message="", tenant=None, trace_id=None, now_ns=now_ns)
    assert record.rate_per_min == pytest.approx(120, rel=0.02)
    later = table.latest(1, now_ns + 600 * NS_PER_S)[0]
    assert later.rate_per_min < 0.01
    assert later.count == 600


def test_the_table_forgets_the_longest_silent_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_table, "MAX_FINGERPRINTS", 2)
    table = ErrorTable()
    for text in ("a", "b", "a", "c"):
        table.fold(dna_of(ValueError(text)), message=text, tenant=None, trace_id=None, now_ns=1)
    assert [record.message for record in table.latest(10, 1)] == ["c", "a"]
    assert table.forgotten == 1
