"""What an idle worker still holds of the question it answered: nothing."""

import io
import os
import queue
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any

from typing_extensions import override

from aitrading.client.terminal.pool.program import answer_next, listen
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.wire import HEAD_BYTES, frame, message_of
from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually


class Password:
    """Stands for the text, which no weak reference can point to."""


class Pipe(io.BytesIO):
    """Gives one frame, then keeps its reader waiting."""

    def __init__(self, head: bytes, body: bytes) -> None:
        super().__init__()
        self.left = [head, body]
        self.waits = threading.Event()
        self.goes_on = threading.Event()

    @override
    def read(self, _: int | None = -1, /) -> bytes:
        if self.left:
            return self.left.pop(0)
        self.waits.set()
        self.goes_on.wait()
        raise EOFError


@async_test
async def test_an_answered_question_is_held_by_nobody() -> None:
    terminal, asked = SimulatedTerminal(SystemClock()), queue.SimpleQueue[Any]()
    password = Password()
    held = weakref.ref(password)
    asked.put([1, [["initialize", (), {"password": password}]]])
    del password
    answers = io.BytesIO()

    def serve() -> None:
        for _ in range(2):
            answer_next(terminal, asked, answers)

    idle = threading.Thread(target=serve)
    idle.start()
    await eventually(lambda: bool(answers.getvalue()))
    try:
        await eventually(lambda: held() is None)
    finally:
        asked.put([2, [["account_info"]]])
        idle.join()


def test_the_bytes_of_a_question_are_not_held_until_the_next() -> None:
    whole = frame([1, [["initialize", os.urandom(8).hex()]]])
    body = bytes(whole[HEAD_BYTES:])
    pipe, asked = Pipe(bytes(whole[:HEAD_BYTES]), body), queue.SimpleQueue[Any]()
    before = sys.getrefcount(body)

    def hear() -> None:
        with suppress(EOFError):
            listen(pipe, asked)

    listening = threading.Thread(target=hear)
    listening.start()
    pipe.waits.wait()
    during = sys.getrefcount(body)
    pipe.goes_on.set()
    listening.join()
    assert asked.get() == message_of(body)
    assert during < before, "the pipe has given it away, and nobody took hold of it"
