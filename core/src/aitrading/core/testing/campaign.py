"""Tests that are short by habit and long on demand: `make prove` runs the same test, larger.

A campaign test asks `points` how many points to try and `first_seed` where to begin, and calls
`report` with what it saw. Without a campaign it gets its usual small number.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

POINTS: Final = "AITRADING_PROVE_POINTS"
SEED: Final = "AITRADING_PROVE_SEED"
TALLY: Final = "AITRADING_PROVE_TALLY"


def points(usual: int) -> int:
    """How many seeds, kills or power cuts to try."""
    return int(os.environ.get(POINTS, usual))


def first_seed(usual: int = 1) -> int:
    """The first seed; the next campaign goes on after the last one."""
    return int(os.environ.get(SEED, usual))


def report(tally: Mapping[str, int]) -> None:
    """Tell the campaign what was counted; several reports of one run are added up by it."""
    if place := os.environ.get(TALLY):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(tally)) + "\n")
