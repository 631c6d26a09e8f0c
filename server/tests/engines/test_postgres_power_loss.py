"""What PostgreSQL acknowledged survives a power cut; a control that does not wait for the disk must lose."""

from pathlib import Path

import pytest

from aitrading.core.testing.power import in_own_mounts, why_no_power_cut

SCRIPT = Path(__file__).with_name("postgres_power_cut.py")
DISK = Path(__file__).parents[3] / "core/tests/infrastructure"
"""Where the disk that can be cut is made."""
CUTS = 2


REASON = why_no_power_cut()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(REASON), reason=REASON or "it can"),
]


def lost_rows(folder: Path, commit: str) -> int:
    told = in_own_mounts(SCRIPT, str(folder), str(CUTS), commit, timeout_s=200, modules=(DISK,))
    return int(told["lost"])


def test_no_acknowledged_row_is_lost_and_the_control_loses_some(tmp_path: Path) -> None:
    for commit in ("on", "off"):
        (tmp_path / commit).mkdir()
    assert lost_rows(tmp_path / "off", "off") > 0, "without a loss here, nothing is proved below"
    assert lost_rows(tmp_path / "on", "on") == 0
