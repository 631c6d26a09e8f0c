"""How children come to life: forked from the nursery where that is possible, else started alone."""

import asyncio
import logging
import os
import socket
from itertools import count

import msgspec

from aitrading.server.engines import linux
from aitrading.server.engines.process import (
    Born,
    Launch,
    Output,
    Process,
    end_of,
    start_process,
)
from aitrading.server.supervisor.nursery import (
    REQUEST_LIMIT_BYTES,
    BirthNotice,
    BirthRequest,
)
from aitrading.server.supervisor.nursery_process import NurseryProcess

BIRTH_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class Births:
    """Starts children; belongs to one event loop."""

    def __init__(self, nursery: NurseryProcess | None) -> None:
        self._nursery = nursery
        self._numbers = count(1)
        self._expected: dict[int, asyncio.Future[int]] = {}
        if nursery is not None:
            nursery.channel.setblocking(False)
            asyncio.get_running_loop().add_reader(nursery.channel, self._on_notice)

    async def start(self, launch: Launch, output: Output) -> Process:
        """Start a child; a nursery that fails costs time, never the child."""
        if launch.module is not None and self._nursery is not None:
            born = await self._from_nursery(self._nursery, launch, launch.module)
            if born is not None:
                return Process(born, launch, output)
            _log.warning("services start without the nursery: %s", self._nursery.last_words())
            self.close()
        return start_process(launch, output)

    async def run_to_end(self, launch: Launch, *, timeout_s: float) -> tuple[int, str]:
        """Run a short program; returns its exit code and everything it said."""
        said = bytearray()
        process = await self.start(launch, said.extend)
        code = await end_of(process, timeout_s=timeout_s)
        return code, said.decode(errors="replace")

    def close(self) -> None:
        """Let the nursery end; children live on."""
        if self._nursery is None:
            return
        asyncio.get_running_loop().remove_reader(self._nursery.channel)
        self._nursery.close()
        self._nursery = None

    async def _from_nursery(
        self, nursery: NurseryProcess, launch: Launch, module: str
    ) -> Born | None:
        request = BirthRequest(
            number=next(self._numbers),
            module=module,
            arguments=tuple(launch.command[launch.command.index(module) + 1 :]),
            command=tuple(launch.command),
            environment=dict(launch.environment),
            folder=str(launch.folder),
            stop_signal=int(launch.stop_signal),
        )
        stdin_read, control_fd = os.pipe()
        stdout_fd, stdout_write = os.pipe()
        try:
            pid = await self._ask(nursery, request, [stdin_read, stdout_write])
        finally:
            os.close(stdin_read)
            os.close(stdout_write)
        if pid is None:
            os.close(control_fd)
            os.close(stdout_fd)
            return None
        return Born(
            pid=pid, stdout_fd=stdout_fd, control_fd=control_fd, reap=lambda: _collect(pid)
        )

    async def _ask(
        self, nursery: NurseryProcess, request: BirthRequest, descriptors: list[int]
    ) -> int | None:
        notice: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._expected[request.number] = notice
        linux.adopt_orphans(adopt=True)
        try:
            socket.send_fds(nursery.channel, [msgspec.json.encode(request)], descriptors)
            async with asyncio.timeout(BIRTH_TIMEOUT_S):
                return await notice
        except (OSError, TimeoutError):
            return None
        finally:
            del self._expected[request.number]
            if not self._expected:
                linux.adopt_orphans(adopt=False)

    def _on_notice(self) -> None:
        assert self._nursery is not None  # noqa: S101 - the reader is removed with it
        try:
            data = self._nursery.channel.recv(REQUEST_LIMIT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._nursery.channel)
            for waiting in self._expected.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError("the nursery ended"))
            return
        notice = msgspec.json.decode(data, type=BirthNotice)
        waiting = self._expected.get(notice.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(notice.pid)


def _collect(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
