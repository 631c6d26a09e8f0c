"""The spool on a real ext4 that fills up, or whose power is cut; `make prove` cuts more."""

from pathlib import Path

import pytest

from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.core.testing.power import in_own_mounts, why_no_power_cut

POWER_LOSS = Path(__file__).with_name("power_loss.py")
FULL_DISK = Path(__file__).with_name("full_disk.py")
QUICK_POINTS = 40
CONTROL_POINTS = 10
SECONDS_PER_POINT = 2


REASON = why_no_power_cut()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(REASON), reason=REASON or "it can"),
]


def campaign(folder: Path, cuts: int, mode: str) -> dict[str, int]:
    arguments = [str(folder), str(cuts), str(first_seed()), mode]
    return in_own_mounts(POWER_LOSS, *arguments, timeout_s=60 + cuts * SECONDS_PER_POINT)


@pytest.mark.timeout(120 + points(QUICK_POINTS) * SECONDS_PER_POINT)
def test_a_power_cut_loses_doubles_and_changes_nothing_acknowledged(tmp_path: Path) -> None:
    cuts = points(QUICK_POINTS)
    tally = campaign(tmp_path, cuts, "sync")
    report(tally)
    harm = ("lost", "doubled", "wrong", "returned_from_deletion", "quarantined")
    assert {name: tally[name] for name in harm} == dict.fromkeys(harm, 0), tally
    assert tally["points"] == cuts
    assert tally["acknowledged"] > cuts * 10, tally
    assert tally["mid_write"] > 0, tally


def test_the_same_without_sync_loses_so_the_test_can_see_it(tmp_path: Path) -> None:
    tally = campaign(tmp_path, CONTROL_POINTS, "control")
    assert tally["lost"] > 0, tally


def test_a_full_disk_is_refused_survived_and_over_when_there_is_room(tmp_path: Path) -> None:
    for told in in_own_mounts(FULL_DISK, str(tmp_path), timeout_s=60):
        assert told["refused"] == ["SPOOL_DISK_FULL"], told
        assert told["held"] > 100, told
        assert told["sealed"] > 5, told
        assert told["readable"], told
        assert told["restart_kept_everything"], told
        assert told["went_on"] > 50, told
