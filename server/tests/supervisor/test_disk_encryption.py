"""What the doctor says of the disk under the home; the kernel's answers are made up."""

from pathlib import Path

import pytest

from aitrading.server.supervisor.doctor.encryption import Kernel, check_encryption
from aitrading.server.supervisor.doctor.finding import Verdict

ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw"
HOME = Path("/srv/aitrading home/data")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    made = Kernel(mounts=tmp_path / "mountinfo", blocks=tmp_path / "block")
    disk(made, "254:0")
    return made


def disk(kernel: Kernel, number: str, *, uuid: str = "", under: tuple[str, ...] = ()) -> None:
    """A block device, and the ones that it is made of."""
    block = kernel.blocks / number
    block.mkdir(parents=True)
    if uuid:
        (block / "dm").mkdir()
        (block / "dm" / "uuid").write_text(uuid)
    for at, each in enumerate(under):
        slave = block / "slaves" / f"disk{at}"
        slave.mkdir(parents=True)
        (slave / "dev").write_text(f"{each}\n")


def mounted(kernel: Kernel, *lines: str) -> None:
    kernel.mounts.write_text("\n".join([ROOT, *lines]))


def verdict(kernel: Kernel) -> Verdict:
    return check_encryption(HOME, kernel).verdict


def test_a_plain_disk_is_not_called_encrypted(kernel: Kernel) -> None:
    mounted(kernel)
    found = check_encryption(HOME, kernel)
    assert found.verdict is Verdict.UNVERIFIED
    assert "/dev/vda1" in found.finding
    assert "LUKS" in found.remedy


def test_an_encrypted_volume_is_seen_under_others(kernel: Kernel) -> None:
    """LVM on LUKS on a partition, mounted at a folder with a space in its name."""
    disk(kernel, "253:0", uuid="CRYPT-LUKS2-0123", under=("254:0",))
    disk(kernel, "253:1", uuid="LVM-4567", under=("253:0",))
    line = "40 27 253:1 / /srv/aitrading\\040home rw - xfs /dev/mapper/vg-home rw"
    mounted(kernel, line)
    found = check_encryption(HOME, kernel)
    assert found.verdict is Verdict.OK
    assert "/dev/mapper/vg-home" in found.finding


def test_a_volume_is_as_open_as_its_most_open_disk(kernel: Kernel) -> None:
    disk(kernel, "253:0", uuid="CRYPT-LUKS2-0123", under=("254:0",))
    disk(kernel, "253:1", uuid="LVM-4567", under=("253:0", "254:0"))
    mounted(kernel, "40 27 253:1 / /srv rw - ext4 /dev/mapper/vg-home rw")
    assert verdict(kernel) is Verdict.UNVERIFIED


def test_what_covers_a_mount_counts(kernel: Kernel) -> None:
    disk(kernel, "253:0", uuid="CRYPT-LUKS2-0123", under=("254:0",))
    covered = "40 27 253:0 / /srv rw - ext4 /dev/mapper/luks rw"
    mounted(kernel, covered)
    assert verdict(kernel) is Verdict.OK
    mounted(kernel, covered, "41 40 254:0 /x /srv rw - ext4 /dev/vda1 rw")
    assert verdict(kernel) is Verdict.UNVERIFIED


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ecryptfs", Verdict.OK), ("tmpfs", Verdict.UNVERIFIED), ("zfs", Verdict.UNVERIFIED)],
)
def test_file_systems_without_a_disk_of_their_own(
    kernel: Kernel, kind: str, expected: Verdict
) -> None:
    mounted(kernel, f"40 27 0:30 / /srv rw - {kind} tank/home rw")
    assert verdict(kernel) is expected


def test_this_machine_answers() -> None:
    assert check_encryption(Path.cwd()).finding
