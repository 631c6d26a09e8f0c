"""A backup on schedule: `python -m aitrading.server.backup HOME FOLDER KEEP RECOVERY_KEY`.

The supervisor starts it as a process of its own. It needs no secret: it seals to the public half
of a recovery key. What it made beyond KEEP files is removed, oldest first, after a good one.
"""

import sys
from pathlib import Path

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.backup.make import SUFFIX, make_backup
from aitrading.server.backup.sealing import SealFor
from aitrading.server.backup.secrets_given import public_key_from_file
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.home import Home


def keep_newest(folder: Path, number: int, made: Path) -> list[Path]:
    """Remove all but the newest files that were named by time; names sort like times.

    What was just made is the newest, whatever its name: the clock may have been set back.
    """
    others = sorted(path for path in folder.glob(f"aitrading-*{SUFFIX}") if path.name != made.name)
    doomed = others[: max(0, len(others) + 1 - number)]
    for path in doomed:
        path.unlink()
    return doomed


def main(home: str, folder: str, keep: str, recovery_key: str) -> int:
    """Exit code 0 when there is a new backup; the reason goes to the supervisor's log."""
    clock, randomness = SystemClock(), SystemRandomness()
    kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
    try:
        seal_for = SealFor(recovery_keys=[public_key_from_file(Path(recovery_key))])
        report = make_backup(Home(Path(home)), Path(folder), seal_for, kit)
        keep_newest(Path(folder), int(keep), Path(report.path))
    except (AitradingError, OSError) as exc:
        sys.stdout.write(str(exc))
        return 1
    sys.stdout.write(report.path)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
