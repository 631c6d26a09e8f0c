"""The reader of the documents sees what is false."""

from pathlib import Path

import pytest

from docs.blocks import anchors, console_blocks, missing_line
from docs.shell import open_shell

PAGE = """
```console until exit=3
$ echo one \\
    two  # said to people
one two
$ echo 'three
four'
three
…
```

```sh
not run
```

```console exit=any
$ false
```
"""


def test_blocks_are_read_as_written() -> None:
    first, second = console_blocks(PAGE)
    assert [command.line for command in first.commands] == [
        "echo one \\\n    two  # said to people",
        "echo 'three\nfour'",
    ]
    assert [command.printed for command in first.commands] == [["one two"], ["three", "…"]]
    assert (first.until, first.exit_code) == (True, 3)
    assert (second.until, second.exit_code) == (False, None)


@pytest.mark.parametrize(
    ("expected", "actual", "missing"),
    [
        (["a … c", "d"], "a b c\nx\nd", None),
        (["a c"], "  a    c ", None),
        (["a"], "a b", "a"),
        (["d", "a"], "a\nd", "a"),
        (["…", "a.b"], "axb", "a.b"),
    ],
)
def test_lines_are_expected_in_order(
    expected: list[str], actual: str, missing: str | None
) -> None:
    assert missing_line(expected, actual) == missing


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ echo yes\nno\n```",
        "```console\n$ false\n```",
        "```console exit=1\n$ true\n```",
        "```console\n$ false\n$ true\n```",
    ],
)
def test_a_page_that_is_not_true_fails(page: str, tmp_path: Path) -> None:
    with open_shell(tmp_path) as shell, pytest.raises(AssertionError):
        shell.run(*console_blocks(page))


def test_variables_live_from_block_to_block(tmp_path: Path) -> None:
    with open_shell(tmp_path) as shell:
        for block in console_blocks("```console\n$ A=1\n```\n\n```console\n$ echo $A\n1\n```"):
            shell.run(block)


def test_anchors_are_those_of_github() -> None:
    assert anchors("# Who may do what?\n## `aitrading up`\n```\n# no\n```") == {
        "who-may-do-what",
        "aitrading-up",
    }
