"""Starts the nursery; imports next to nothing, so that it can be the first thing a command does."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from aitrading.server.supervisor.environment import inherited_environment

MODULE = "aitrading.server.supervisor.nursery"
_MEASURED = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


class NurseryProcess:
    """The nursery as its supervisor sees it; it ends when `close` is called or we die."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = os.memfd_create("nursery")
        with theirs:
            command = [sys.executable, "-I", "-m", MODULE, str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=inherited_environment(environ),
            )

    @property
    def pid(self) -> int:
        """The number the kernel gave it."""
        return self._process.pid

    def last_words(self) -> str:
        """What it printed: nothing, unless it failed."""
        return os.pread(self._said, 4_096, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """End it; harmless when it has ended."""
        self.channel.close()
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
            os.close(self._said)


def nursery_wanted(environ: Mapping[str, str]) -> bool:
    """A coverage measurement begins with a process of its own, so it does without a nursery."""
    return not any(environ.get(name) for name in _MEASURED)
