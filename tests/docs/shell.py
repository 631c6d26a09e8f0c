"""A terminal for the commands of the documents, in a folder of its own, on free ports."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.platform import BIN, PORTS, clean_environment, die_with_the_test_run

from aitrading.server.supervisor.ports import free_port
from docs.blocks import Block, Command, missing_line

EDGE = "localhost:8000"
IN_PLACE_OF = {
    "make run": "aitrading up --demo --detach",
    "python3": sys.executable,
}
UNTIL_S = 150.0
POLL_S = 0.5


class Shell:
    """One bash, so that variables live on from block to block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._edge = free_port()
        home = folder / "var"
        home.mkdir(mode=0o700)
        ports = "\n".join(f"{name} = 0" for name in PORTS)
        (home / "aitrading.toml").write_text(
            f"[gateway]\nport = {self._edge}\n[ports]\n{ports}\n", encoding="utf-8"
        )
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={
                **clean_environment(),
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "XDG_CONFIG_HOME": str(folder / "config"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_the_test_run,  # noqa: PLW1509 - one system call runs in it
        )

    def run(self, block: Block) -> None:
        """Run a block and hold what it prints against what the page says."""
        deadline = time.monotonic() + (UNTIL_S if block.until else 0)
        while (problem := self._attempt(block)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        assert problem is None, problem

    def _attempt(self, block: Block) -> str | None:
        last = block.commands[-1]
        for command in block.commands:
            said, code = self.execute(command.line)
            wanted = block.exit_code if command is last else 0
            if wanted is not None and code != wanted:
                return f"$ {command.line}\nended with {code} instead of {wanted}:\n{said}"
            if (line := self._missing(command, said)) is not None:
                return f"$ {command.line}\ndid not print {line!r}:\n{said}"
        return None

    def _missing(self, command: Command, said: str) -> str | None:
        return missing_line([self._here(line) for line in command.printed], said)

    def _here(self, text: str) -> str:
        return text.replace(EDGE, f"localhost:{self._edge}")

    def execute(self, line: str) -> tuple[str, int]:
        """Run a command as typed; gives everything it printed, and its exit code."""
        for typed, instead in IN_PLACE_OF.items():
            line = line.replace(typed, instead)
        end = secrets.token_hex(8)
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(
            f"{{ {self._here(line)}\n}} </dev/null\nprintf '\\n{end} %s\\n' $?\n"
        )
        self._bash.stdin.flush()
        said: list[str] = []
        for printed in self._bash.stdout:
            if printed.startswith(end):
                return "".join(said), int(printed.split()[1])
            said.append(printed)
        raise AssertionError(f"the shell ended at {line!r}:\n{''.join(said)}")

    def close(self) -> None:
        """End the platform, if one runs, and the shell."""
        assert self._bash.stdin is not None
        if (self._folder / "var" / "run" / "admin.sock").exists():
            self.execute("aitrading down")
        self._bash.stdin.close()
        self._bash.wait(60)
        assert self._bash.stdout is not None
        self._bash.stdout.close()


@contextmanager
def open_shell(folder: Path) -> Iterator[Shell]:
    """A shell that leaves nothing running."""
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.close()
