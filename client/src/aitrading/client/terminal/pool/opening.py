"""What a worker is told first: which terminal is its."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import msgspec

from aitrading.client.security.confinement import SWITCHED_OFF, WorkerNeeds
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.kit.clock import NS_PER_S, Clock


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The same for every worker of a pool, so that all see one market."""

    kind: TerminalKind
    settings: SimulatedTerminalSettings
    job: str = ""
    """The job of Windows that every worker joins."""
    confined: bool = True
    """Whether workers give up what they do not need."""

    @property
    def shares_terminal(self) -> bool:
        """Whether every worker reaches the same terminal, and with it the same account."""
        return self.kind is TerminalKind.MT5 or self.settings.process is not None

    @property
    def needs(self) -> WorkerNeeds:
        """What a worker cannot give up."""
        if not self.confined:
            return WorkerNeeds(all=SWITCHED_OFF)
        if self.kind is TerminalKind.MT5:
            return WorkerNeeds(all="left off: the package starts its owner's terminal")
        told = self.settings
        if told.process is None:
            files = (told.replay, told.faults, told.accounts)
            return WorkerNeeds(files=tuple(file.absolute() for file in files if file))
        # A twin that is started anew puts another file in its place, so its folder is looked at.
        folder = told.process.absolute().parent
        existing = next(each for each in (folder, *folder.parents) if each.is_dir())
        return WorkerNeeds(files=(existing,), network="the simulated terminal is asked over TCP")

    @classmethod
    def of(
        cls,
        kind: TerminalKind,
        settings: SimulatedTerminalSettings,
        clock: Clock,
        *,
        job: str = "",
        confined: bool = True,
    ) -> "Opening":
        """A recording that has no moment to begin at begins now, for workers of later too."""
        if settings.replay is not None and settings.replay_starts_s is None:
            settings = replace(settings, replay_starts_s=clock.now_ns() // NS_PER_S)
        return cls(kind=kind, settings=settings, job=job, confined=confined)

    def encoded(self) -> dict[str, Any]:
        """Plain values."""
        plain = {
            one.name: _plain(getattr(self.settings, one.name)) for one in fields(self.settings)
        }
        return {
            "kind": self.kind.value,
            "settings": plain,
            "job": self.job,
            "confined": self.confined,
        }


def decoded(plain: dict[str, Any]) -> Opening:
    """What `encoded` gave."""
    return msgspec.convert(plain, Opening, dec_hook=_path, strict=False)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _path(kind: type, value: object) -> object:
    return cast("Any", kind)(value)
