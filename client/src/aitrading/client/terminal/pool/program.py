"""A worker: one process with one connection to a terminal, asked over its standard streams.

It ends when whoever asks it has gone, also while a call of the terminal does not return.
"""

import os
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO, Final

import msgspec

from aitrading.client.security.process_security import harden, harden_worker
from aitrading.client.terminal.calls import Call, answers_of
from aitrading.client.terminal.pool.opening import Opening, decoded
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.select import open_terminal
from aitrading.client.terminal.wire import HEAD_BYTES, body_bytes, frame, message_of
from aitrading.core.kit.clock import SystemClock

READY: Final = 0
"""Number of the answer that says: the worker can be asked."""


def main() -> None:
    """Serve until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this worker
    harden()  # a stored login passes through its memory
    incoming, outgoing = _own_streams()
    opening = _opening(incoming)
    # Before there is a terminal that may not return, and a thread that would stay unconfined.
    standings = harden_worker(opening.job, opening.needs)
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(incoming, asked), daemon=True).start()
    terminal = open_terminal(opening.kind, opening.settings, SystemClock())
    _say(outgoing, [READY, msgspec.to_builtins(standings)])
    while True:
        answer_next(terminal, asked, outgoing)


def answer_next(terminal: Terminal, asked: "queue.SimpleQueue[Any]", outgoing: BinaryIO) -> None:
    """Answer one question, and keep nothing of it: a log-in's arguments hold a password."""
    number, calls = asked.get()
    try:
        answers = answers_of(terminal, tuple(Call(*one) for one in calls))
    except (TypeError, ValueError) as exc:
        _say(outgoing, [number, str(exc)])
    else:
        _say(outgoing, [number, [tuple(answer) for answer in answers]])


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent; what anybody prints goes to standard error instead."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def _opening(incoming: BinaryIO) -> Opening:
    """What this worker is told first; ends the process if nobody does."""
    first: queue.SimpleQueue[Any] = queue.SimpleQueue()
    if not take_one(incoming, first):
        os._exit(0)
    return decoded(first.get())


def listen(incoming: BinaryIO, asked: "queue.SimpleQueue[Any]") -> None:
    """Put every question where it is taken, and keep none; ends the process with the input."""
    while take_one(incoming, asked):
        pass
    os._exit(0)


def take_one(incoming: BinaryIO, asked: "queue.SimpleQueue[Any]") -> bool:
    """Put the next question where it is taken, and hold nothing of it; False at the end."""
    head = incoming.read(HEAD_BYTES)
    if len(head) != HEAD_BYTES:
        return False
    try:
        asked.put(message_of(incoming.read(body_bytes(head))))
    except (ConnectionError, msgspec.MsgspecError):
        return False
    return True


def _say(outgoing: BinaryIO, message: object) -> None:
    view = memoryview(frame(message))
    while view:
        view = view[outgoing.write(view) or 0 :]


if __name__ == "__main__":
    main()
