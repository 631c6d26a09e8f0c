"""QR codes as the path of an SVG: the page draws them itself, nothing is fetched from elsewhere."""

from itertools import groupby

import segno

from aitrading.server.api_gateway.identity.factors.shapes import Qr

QUIET_ZONE = 4
"""Light modules around the code, as the standard asks for."""


def qr_of(text: str) -> Qr:
    """The code of a text, its light border included."""
    rows = segno.make(text, error="m", micro=False).matrix
    path = "".join(
        f"M{at + QUIET_ZONE} {line + QUIET_ZONE}h{length}v1h-{length}z"
        for line, row in enumerate(rows)
        for at, length in _dark_runs(bytes(row))
    )
    return Qr(size=len(rows) + 2 * QUIET_ZONE, path=path)


def _dark_runs(row: bytes) -> list[tuple[int, int]]:
    """Where dark modules begin in a row, and how many follow each other."""
    runs: list[tuple[int, int]] = []
    at = 0
    for dark, group in groupby(row):
        length = len(list(group))
        if dark:
            runs.append((at, length))
        at += length
    return runs
