"""Every console block of the tutorials, runbooks and some guides does what the page says."""

from pathlib import Path

import pytest

from docs.blocks import ROOT, console_blocks
from docs.shell import open_shell

DOCS = ROOT / "docs"
PAGES = [
    *sorted(path for folder in ("tutorials", "runbooks") for path in (DOCS / folder).glob("*.md")),
    DOCS / "how-to" / "test-against-the-twin.md",
]


@pytest.mark.e2e
@pytest.mark.timeout(840)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    blocks = list(console_blocks(page.read_text(encoding="utf-8")))
    assert blocks
    with open_shell(tmp_path) as shell:
        for block in blocks:
            shell.run(block)
