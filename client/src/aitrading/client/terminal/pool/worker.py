"""The near side of one worker process."""

import asyncio
import os
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any, Final

import msgspec

from aitrading.client.security.measures import Standing
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.calls import Answer, Call
from aitrading.client.terminal.pool.errors import CALL_OVERDUE, WORKER_LOST
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.wire import HEAD_BYTES, body_bytes, frame, message_of
from aitrading.core.kit.errors import AitradingError

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 3.0
DRAIN_BYTES: Final = 1 << 20
LEAN: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""A worker multiplies no matrices: numpy's threads would only cost memory and time to start."""
PROGRAM: Final = "aitrading.client.terminal.pool.program"


class WorkerProcess:
    """Asks one process, one question at a time; a late answer belongs to nobody, so it is killed."""

    def __init__(self, process: Process, asked: StreamWriter, answers: StreamReader) -> None:
        self._process = process
        self._asked = asked
        self._answers = answers
        self._number = 0
        self.standings: tuple[Standing, ...] = ()
        """How it said that it is tied to this process."""

    @classmethod
    async def start(cls, opening: Opening) -> "WorkerProcess":
        """Start a process and wait until it has its terminal; raises `TERMINAL_WORKER_LOST`."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-m",
                PROGRAM,
                stdin=PIPE,
                stdout=PIPE,
                env={**os.environ, **LEAN},
            )
        except OSError as exc:  # no descriptor, process or memory is left
            raise WORKER_LOST.error(pid="(not started)", code=str(exc)) from exc
        if process.stdin is None or process.stdout is None:
            raise OSError("a process without pipes")
        worker = cls(process, process.stdin, process.stdout)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker._write(opening.encoded())
                _, told = await worker._read()
                worker.standings = msgspec.convert(told, tuple[Standing, ...])
        except TimeoutError as exc:
            await worker.kill()
            raise worker._overdue("start", START_TIMEOUT_S) from exc
        except BaseException:
            await worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Nothing can reach it any more."""
        return self._process.returncode is not None

    async def ask(self, calls: tuple[Call, ...], *, timeout_s: float) -> list[Answer]:
        """Make the calls there; raises `TERMINAL_CALL_OVERDUE`, `TERMINAL_WORKER_LOST`.

        After either the process is gone. `ValueError` when it refused the arguments.
        """
        self._number += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._write([self._number, [list(one) for one in calls]])
                number, answers = await self._read()
        except TimeoutError as exc:
            await self.kill()
            raise self._overdue(calls[0].name, timeout_s) from exc
        except BaseException:
            await self.kill()
            raise
        if number != self._number:
            await self.kill()
            raise WORKER_LOST.error(pid=self.pid, code="an answer to another question")
        if isinstance(answers, str):
            raise ValueError(answers)  # noqa: TRY004 - it is the text of the worker's refusal
        return [Answer(value, _error(error)) for value, error in answers]

    async def wait(self) -> int:
        """Wait until the process has ended."""
        return await self._process.wait()

    async def close(self) -> None:
        """Let the process end by itself, or end it."""
        self._asked.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once; nothing of it is left when this returns."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        """An answer that nobody takes would keep its pipe, and with it the end, from being seen."""
        with suppress(RuntimeError):  # somebody reads already
            while await self._answers.read(DRAIN_BYTES):
                pass
        await self._process.wait()

    async def _write(self, message: object) -> None:
        try:
            self._asked.write(frame(message))
            await self._asked.drain()
        except (ConnectionError, RuntimeError) as exc:
            raise await self._lost() from exc

    async def _read(self) -> Any:
        try:
            head = await self._answers.readexactly(HEAD_BYTES)
            return message_of(await self._answers.readexactly(body_bytes(head)))
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise await self._lost() from exc

    async def _lost(self) -> AitradingError:
        await self.kill()
        return WORKER_LOST.error(pid=self.pid, code=self._process.returncode)

    def _overdue(self, name: str, timeout_s: float) -> AitradingError:
        return CALL_OVERDUE.error(call=name, timeout_s=timeout_s, pid=self.pid)


def _error(plain: Any) -> ErrorOfTerminal:
    return int(plain[0]), str(plain[1])
