"""The power of the whole platform is cut; it starts by itself and has every tick it ever showed."""

from pathlib import Path

import pytest

from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.core.testing.power import in_own_mounts, why_no_power_cut

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("power_cut.py")
MODULES = (ROOT / "tests", ROOT / "core" / "tests" / "infrastructure")
QUICK_CUTS = 1
SECONDS_PER_CUT = 60


REASON = why_no_power_cut()


@pytest.mark.e2e
@pytest.mark.skipif(bool(REASON), reason=REASON or "it can")
@pytest.mark.timeout(240 + SECONDS_PER_CUT * points(QUICK_CUTS))
def test_the_platform_survives_power_cuts(tmp_path: Path) -> None:
    cuts = points(QUICK_CUTS)
    tally = in_own_mounts(
        PROGRAM,
        *(str(tmp_path), str(cuts), str(first_seed())),
        timeout_s=200 + SECONDS_PER_CUT * cuts,
        modules=MODULES,
    )
    report(tally)
    assert tally["cuts"] == cuts
    assert tally["ticks"] > 0
