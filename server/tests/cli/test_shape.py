"""Every command keeps the contract: help, `--json`, exit codes, no traceback, a fast start."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import aitrading.server
from aitrading.server.cli import COMMANDS, main
from aitrading.server.cli.error_codes import catalogue

SOURCES = Path(aitrading.server.__file__).parent
WITHOUT_JSON = {"config reference"}
"""It prints a document, which is the same for people and programs."""


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from leaves(child, (*path, name))
        if command.invoke_without_command:
            yield " ".join(path), command
    else:
        yield " ".join(path), command


ALL = dict(leaves(main))


@pytest.mark.parametrize("name", ALL)
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    command = ALL[name]
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert all(option.help for option in options), name
    flags = {flag for option in options for flag in option.opts}
    assert "--json" in flags or name in WITHOUT_JSON


def test_every_listed_command_is_there_with_one_line_about_it(run: Any) -> None:
    said = run("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert name in said
        assert line.split()[0] in said


def test_a_command_that_does_not_exist_is_a_usage_error(run: Any) -> None:
    result = run("nothing")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_help_imports_no_command(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from aitrading.server.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'numpy', 'cryptography', 'nats', 'asyncpg', 'starlette', 'chdb'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, capture_output=True)


def test_colours_are_left_out_where_nobody_sees_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from aitrading.server.cli import main; main()", "errors"]
    done = subprocess.run([*command, "list"], capture_output=True, check=True, cwd=tmp_path)
    assert b"\x1b[" not in done.stdout


def test_no_colour_is_obeyed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("errors", "list").stdout


@pytest.mark.parametrize(
    "arguments",
    [("chains",), ("tenant", "list"), ("token", "--for", "demo/owner"), ("feed", "--for", "a/b")],
)
def test_nothing_runs_is_said_with_a_remedy_and_exit_code_3(run: Any, arguments: Any) -> None:
    result = run(*arguments)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "NOT_RUNNING" in result.stderr
    assert "Remedy:" in result.stderr


def test_an_error_is_json_when_asked_for(run: Any) -> None:
    result = run("chains", "--json")
    assert result.stdout == ""
    assert '"code":"NOT_RUNNING"' in result.stderr


def test_a_defect_is_no_traceback(run: Any, home: Path) -> None:
    (home / "trust" / "edge-ca.pem").mkdir()
    (home / "aitrading.toml").mkdir()
    result = run("config", "show")
    assert result.exit_code in {1, 3}
    assert "Traceback" not in result.output
    assert "Remedy:" in result.stderr


def test_every_code_can_be_looked_up(run: Any) -> None:
    assert len(catalogue()) > 50
    for code in catalogue():
        assert catalogue()[code].remedy
    result = run("errors", "lookup", "trading_not_available")
    assert result.exit_code == 0
    assert "HALTED" in result.stdout


def test_a_misspelt_code_is_corrected(run: Any) -> None:
    result = run("errors", "lookup", "TRADING_NOT_AVAILBLE")
    assert result.exit_code == 1
    assert "did you mean TRADING_NOT_AVAILABLE?" in result.stderr


def said_by_the_code() -> Iterator[tuple[str, str, str]]:
    """File, command and child, wherever a string of the code names a command with children."""
    named = re.compile(r"aitrading ([a-z-]+) ([a-z-]+)")
    for file in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        for text in filter(lambda each: isinstance(each, str), texts):
            for command, word in named.findall(" ".join(str(text).split())):
                if command in COMMANDS:
                    yield file.name, command, word


def test_no_message_names_a_command_that_does_not_exist() -> None:
    context = click.Context(main)
    found = list(said_by_the_code())
    assert len(found) > 20
    for file, name, word in found:
        command = main.get_command(context, name)
        if isinstance(command, click.Group) and not command.invoke_without_command:
            assert word in command.list_commands(context), (file, name, word)
