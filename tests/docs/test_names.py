"""What the documents say of rooms of the house is so: a room that is named exists, or says that it does not."""

import re
from pathlib import Path

import pytest

from docs.blocks import INLINE, ROOT, documents

NAMES = ROOT / "docs" / "explanation" / "names-and-ports.md"
ROOM = re.compile(r"(?P<wheel>core|server|client)/(?P<rest>[\w/.-]+)")
NOT_BUILT = re.compile(r"not built|does not exist yet")


def place_of(room: str) -> Path | None:
    """Where a room such as `client/page` is, if that is one."""
    found = ROOM.fullmatch(room)
    if found is None:
        return None
    wheel, rest = found["wheel"], found["rest"]
    whole = ROOT / room
    return whole if whole.exists() else ROOT / wheel / "src" / "aitrading" / wheel / rest


def rooms_in(line: str) -> list[Path]:
    return [place for code in INLINE.findall(line) if (place := place_of(code)) is not None]


def rows_of(page: Path) -> list[str]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("|")]


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_row_says_not_built_of_a_room_that_exists(page: Path) -> None:
    wrong = [row for row in rows_of(page) if NOT_BUILT.search(row) and any_exists(rooms_in(row))]
    assert wrong == []


def any_exists(places: list[Path]) -> bool:
    return any(place.exists() for place in places)


def test_every_room_of_the_plan_that_is_said_to_be_here_is_here() -> None:
    """What the plan called it, the first column, need not be."""
    here = [row.split("|", 2)[2] for row in rows_of(NAMES) if not NOT_BUILT.search(row)]
    places = [place for row in here for place in rooms_in(row)]
    assert len(places) > 20
    assert [str(place) for place in places if not place.exists()] == []


def test_the_check_sees_what_it_looks_for() -> None:
    assert any_exists(
        rooms_in("| 9002 | Data collector | `client/data_collector`, not built yet |")
    )
    assert not any_exists(rooms_in("| 9005 | Nothing | `client/nothing`, not built yet |"))
