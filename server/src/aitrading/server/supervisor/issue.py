"""Issues the identities of one start in a process of its own: `python -m ...issue HOME ENV NAME...`.

A process of its own keeps the cryptography out of the supervisor's memory and lets it load beside
the engines' start. A refusal is printed as JSON and the exit code is 1.
"""

import sys
from pathlib import Path

import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.authority.installation import initialise
from aitrading.server.supervisor.admin_client import failure_of
from aitrading.server.supervisor.home import Home


def main(home: str, environment: str, *names: str) -> int:
    """Make the authority at the first start; write an identity of 24 hours for each name."""
    clock = SystemClock()
    place = Home(Path(home))
    try:
        authority = initialise(
            place.root,
            clock,
            SystemIdFactory(clock, SystemRandomness()),
            environment=environment,
        )
        for name in names:
            authority.write_service(name, place.bundles)
    except AitradingError as exc:
        sys.stdout.write(msgspec.json.encode(failure_of(exc)).decode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
