"""Links of the documents lead somewhere, and the commands they name exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aitrading.client.cli import main as client
from aitrading.server.cli import main as server
from docs.blocks import FENCE, INLINE, LINK, ROOT, anchors, documents, without_fences

PROGRAMS: dict[str, click.Command] = {"aitrading": server, "aitrading-client": client}
NO_COMMANDS = {"aitrading stream id v1"}
PLACEHOLDER = re.compile(r"[|…]|\.\.\.|^<|^\[")
TARGET = re.compile(r"^(?P<name>[a-z-]+):", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_relative_link_resolves(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    broken = [
        target
        for target in (match["target"] for match in LINK.finditer(without_fences(text)))
        if not target.startswith(("https://", "http://", "mailto:")) and not resolves(path, target)
    ]
    assert broken == []


def resolves(page: Path, target: str) -> bool:
    file, _, fragment = target.partition("#")
    place = page if not file else page.parent / file
    if not place.exists():
        return False
    return not fragment or fragment in anchors(place.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_command_that_is_named_exists(path: Path) -> None:
    unknown = [said for said in commands_in(path.read_text(encoding="utf-8")) if not exists(said)]
    assert unknown == []


def commands_in(text: str) -> Iterator[str]:
    """Whatever is written as code and begins with one of our programs, or with make."""
    code = [match[1] for match in INLINE.finditer(without_fences(text))]
    code += [
        line.removeprefix("$ ")
        for fence in FENCE.finditer(text)
        for line in fence["body"].splitlines()
        if line.startswith("$ ") or fence["info"].startswith("sh")
    ]
    for said in (part for line in code for part in line.split(" && ")):
        first = said.split(maxsplit=1)[0] if said.split() else ""
        if (first in PROGRAMS or first == "make") and " " in said and said not in NO_COMMANDS:
            yield said


def exists(said: str) -> bool:
    """Whether every word up to the first option or argument is a command."""
    program, *words = shlex.split(said.partition("#")[0].partition("|")[0].replace("(", " "))
    if program == "make":
        targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
        return all(word in targets or "=" in word or word[0] in "-&" for word in words)
    command: click.Command = PROGRAMS[program]
    for word in words:
        if word.startswith(("-", "$")) or PLACEHOLDER.search(word):
            break
        if not isinstance(command, click.Group):
            break
        context = click.Context(command, info_name=program)
        found = command.get_command(context, word)
        if found is None:
            return False
        command = found
    return all(option_exists(command, word) for word in words if word.startswith("--"))


def option_exists(command: click.Command, word: str) -> bool:
    names = {name for option in command.params for name in option.opts} | {"--help", "--version"}
    return word.partition("=")[0] in names
