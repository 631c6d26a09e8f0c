"""The page of failures: what it names is there, and what the tests make happen is on it."""

import re
from typing import Final

from tests.link.test_failures import FAILURES

from docs.blocks import ROOT
from docs.test_security_evidence import exists

PAGE: Final = (ROOT / "docs/explanation/failures.md").read_text(encoding="utf-8")
ROWS: Final = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]


def test_every_row_names_tests_that_are_there() -> None:
    assert len(ROWS) > 15
    for row in ROWS:
        named = re.findall(r"`([\w/.]+::\w+)`", row)
        assert named or "the same test (" in row, row
        assert [one for one in named if not exists(one)] == []


def test_every_failure_of_the_link_is_on_the_page() -> None:
    told = {
        name.strip() for group in re.findall(r"\(([^()]+)\)", PAGE) for name in group.split(",")
    }
    assert set(FAILURES) <= told
