"""Reads Markdown: fenced blocks that are run, links, and commands in the text.

A block fenced as ```` ```console ```` is run: each line that begins with `$ ` is a command (which goes
on after a backslash or inside quotes), the lines below it are what it prints. `…` stands for anything. Words behind
`console` say more: `exit=1` is the exit code of its last command (`any`: either), `until` repeats the block until
it prints what it should. Any other fence is only shown.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
ANYTHING = "…"


@dataclass
class Command:
    """One command and what the page says it prints."""

    line: str
    printed: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the shell would not wait for another line."""
        return not self.line.endswith("\\") and self.line.count("'") % 2 == 0


@dataclass
class Block:
    """A fenced block that is run."""

    commands: list[Command]
    exit_code: int | None = 0
    until: bool = False


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in sorted(listed.split("\0")) if name and (ROOT / name).exists()]


def console_blocks(text: str) -> Iterator[Block]:
    """Every block that is run, in order."""
    for fence in FENCE.finditer(text):
        kind, *said = fence["info"].split() or [""]
        if kind != "console":
            continue
        code = next((word.removeprefix("exit=") for word in said if "exit=" in word), "0")
        yield Block(
            commands=_commands(fence["body"]),
            exit_code=None if code == "any" else int(code),
            until="until" in said,
        )


def _commands(body: str) -> list[Command]:
    found: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ").partition("  # ")[0]))
        elif found and not found[-1].complete:
            found[-1].line += "\n" + line
        elif found and line.strip():
            found[-1].printed.append(line)
    return found


def missing_line(expected: list[str], actual: str) -> str | None:
    """The first expected line that does not come, in order, among the actual ones."""
    lines = iter(_plain(line) for line in actual.splitlines())
    for line in expected:
        if _plain(line) == ANYTHING:
            continue
        pattern = ".*".join(re.escape(part) for part in _plain(line).split(ANYTHING))
        if not any(re.fullmatch(pattern, candidate) for candidate in lines):
            return line
    return None


def _plain(line: str) -> str:
    return " ".join(line.split())


def without_fences(text: str) -> str:
    """The text between the fenced blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Fragments that headings give, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", match["text"].replace("`", "").lower()).strip().replace(" ", "-")
        for match in HEADING.finditer(without_fences(text))
    }
