"""A terminal of this process, asked as the pool is asked: no worker, no waiting."""

from typing_extensions import override

from aitrading.client.metatrader_connector.questions import log_in
from aitrading.client.terminal.calls import Answer, Call, ConnectedTerminal, Lane, answers_of
from aitrading.client.terminal.port import AccountInfo, Terminal


class TerminalHere(ConnectedTerminal):
    """For tests of what asks, not of how it is answered."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    @override
    async def connected(self) -> AccountInfo:
        return await log_in(self)

    @override
    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        return answers_of(self.terminal, calls)
