"""An installed client beside a running platform, used as a person and a script use it."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.status import client_status
from harness.platform import (
    COMMAND_TIMEOUT_S,
    Platform,
    clean_environment,
    die_with_the_test_run,
    wait_until,
)

END_TIMEOUT_S: Final = 60.0
CLIENT: Final = str(Path(sys.executable).parent / "aitrading-client")


@dataclass
class InstalledClient:
    """One home of a client; its organisation is its own."""

    platform: Platform
    home: Path
    tenant: str
    environ: dict[str, str] = field(default_factory=dict[str, str])
    device: str = ""
    program: tuple[str, ...] = (CLIENT,)
    """Another installation than the test's own, to be run."""
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def enrolled(cls, platform: Platform, home: Path, tenant: str) -> "InstalledClient":
        """A device of a new organisation."""
        platform.cli_json("tenant", "create", tenant)
        invited = platform.cli_json("device", "invite", "desk", "--tenant", tenant)
        home.mkdir()
        client = cls(platform, home, tenant, device=invited["device"])
        done = client.cli("enroll", invited["code"], "--server", platform.url)
        assert done.returncode == 0, done.stderr
        return client

    @property
    def log(self) -> Path:
        """What the client wrote to standard error, over all its lives."""
        return self.home.parent / f"{self.home.name}.log"

    def cli(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [CLIENT, *arguments, "--home", str(self.home)],
            input=stdin, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S,
            env={**clean_environment(), **self.environ},
        )  # fmt: skip

    def start(self, *command: str) -> None:
        """Run it; `command` may wrap it, for example in a shell."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.program, "run", "--terminal", "sim", "--home", str(self.home)],
                env={
                    **clean_environment(), "AITRADING_CONNECTOR_PROBE_PORT": "0", **self.environ
                },
                stdout=log, stderr=log, cwd=self.home.parent,
                preexec_fn=die_with_the_test_run,  # noqa: PLW1509 - one thread, one call
            )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(END_TIMEOUT_S)
        finally:
            self.process.kill()

    def status(self) -> dict[str, Any]:
        """What the running client tells; raises while none answers."""
        report = client_status(self.home, DeviceFiles(self.home).load())
        if report is None:
            code = self.process.poll() if self.process else None
            raise LookupError(f"no client answers ({code}): {self.log.read_text()[-2000:]}")
        return report

    def component(self, name: str) -> dict[str, Any]:
        """One of its parts."""
        found: dict[str, Any] = self.status()["components"][name]
        return found

    def wait_for(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a part has a state, and give its fields."""

        def reached() -> dict[str, Any] | None:
            part = self.component(name)
            return part if part["state"] == state else None

        told = wait_until(reached, what=f"{name} being {state}", timeout_s=60)
        return dict(told["fields"])

    def family(self) -> list[int]:
        """The client's process and those that it started."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found


def memory_of(pid: int) -> bytes:
    """Everything a process has in memory that is its own; needs root."""
    whole = bytearray()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - no ordinary file
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            place, rights = line.split()[:2]
            begin, end = (int(each, 16) for each in place.split("-"))
            if not rights.startswith("rw") or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            try:
                memory.seek(begin)
                whole += memory.read(end - begin)
            except (OSError, OverflowError):
                continue
    return bytes(whole)


def environment_of(pid: int) -> bytes:
    """Variables and arguments as the system shows them."""
    return Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()


def files_with(secret: bytes, *places: Path) -> list[str]:
    """Every file below that has the secret in it."""
    paths = (path for place in places for path in place.rglob("*"))
    files = (path for path in paths if path.is_file() and os.access(path, os.R_OK))
    return [str(path) for path in files if secret in path.read_bytes()]
