"""Issues identities in a process of its own: `python -m ...issue start|renew|withdraw HOME ENV NAME`.

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
from aitrading.server.personal_data.file_keys import FILES_FOLDER, FileKeyFolder
from aitrading.server.personal_data.masters import FOLDER, MasterFolder
from aitrading.server.supervisor.admin_client import failure_of
from aitrading.server.supervisor.home import Home


def main(occasion: str, home: str, environment: str, *names: str) -> int:
    """Write an identity of 24 hours for each name, or take back what was published of it.

    The first start makes the authority itself.
    """
    clock = SystemClock()
    place = Home(Path(home))
    try:
        authority = initialise(
            place.root,
            clock,
            SystemIdFactory(clock, SystemRandomness()),
            environment=environment,
        )
        MasterFolder(place.keys / FOLDER, environment=environment).make_first()
        FileKeyFolder(place.keys / FILES_FOLDER, environment=environment).make_first()
        for name in names:
            match occasion:
                case "withdraw":
                    authority.withdraw_service(name)
                case "renew":
                    authority.renew_service(name, place.bundles)
                case _:
                    authority.write_service(name, place.bundles)
    except AitradingError as exc:
        sys.stdout.write(msgspec.json.encode(failure_of(exc)).decode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
