"""What a person sees while the platform starts and stops: lines on standard error."""

import os
import sys
from typing import TextIO

from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.supervisor.supervisor import Reporter

NAME_WIDTH = 18
_COLOURS = {"good": "32", "bad": "31", "warn": "33", "quiet": "2"}


class LineReporter(Reporter):
    """One line per event; colour only on a terminal that wants it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._colour = self._stream.isatty() and not os.environ.get("NO_COLOR")

    @override
    def child_ready(self, name: str, seconds: float) -> None:
        self.line(name, self._paint("ready", "good"), f"{seconds:5.2f} s")

    @override
    def child_troubled(self, name: str, state: ComponentState, message: str) -> None:
        colour = "bad" if state is ComponentState.FAILED else "warn"
        self.line(name, self._paint(state.value.lower(), colour), message)

    @override
    def child_stopped(self, name: str) -> None:
        self.line(name, self._paint("stopped", "quiet"), "")

    def line(self, name: str, what: str, detail: str) -> None:
        """Print one aligned line; a closed terminal is no reason to end the platform."""
        try:
            print(f"  {name:<{NAME_WIDTH}} {what:<9} {detail}".rstrip(), file=self._stream)
            self._stream.flush()
        except (OSError, ValueError):
            return

    def say(self, text: str) -> None:
        """Print a sentence."""
        try:
            print(text, file=self._stream)
            self._stream.flush()
        except (OSError, ValueError):
            return

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text
