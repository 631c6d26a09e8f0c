"""What `import MetaTrader5` means in this process: the real package, the twin, or nothing."""

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "MetaTrader5"
STAND_IN: Final = Path(__file__).resolve().parent / "stand_in"
"""The folder which, on `PYTHONPATH`, makes the twin importable under the package's name."""
TWIN_ORIGIN: Final = STAND_IN / f"{PACKAGE}.py"


def real_package_is_installed() -> bool:
    """Whether there is a package of that name besides the stand-in."""
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != STAND_IN]
    spec = PathFinder.find_spec(PACKAGE, elsewhere)
    return spec is not None and spec.loader is not None


def import_gives_twin() -> bool:
    """Whether the twin answers to the package's name here, or would."""
    spec = find_spec(PACKAGE)
    return spec is not None and Path(spec.origin or "").resolve() == TWIN_ORIGIN
