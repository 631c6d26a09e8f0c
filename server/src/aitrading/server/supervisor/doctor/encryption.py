"""Whether what the home keeps lies on an encrypted disk, as far as the kernel tells."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrading.server.supervisor.doctor.finding import Finding, fine, unverified

CHECK: Final = "disk encryption"
ENCRYPTED_BY_THEMSELVES: Final = frozenset({"ecryptfs", "fuse.gocryptfs", "fuse.encfs"})
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_DM_CRYPT: Final = "CRYPT-"
_SEPARATOR: Final = "-"
_POINT: Final = 4
_REMEDY: Final = (
    "Put the home on an encrypted volume (LUKS), or make sure that the provider encrypts the disk of this "
    "machine: that cannot be seen from inside."
)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Where the kernel tells what is mounted, and from which disks."""

    mounts: Path = Path("/proc/self/mountinfo")
    blocks: Path = Path("/sys/dev/block")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file system and where it comes from."""

    point: Path
    kind: str
    source: str
    number: str
    """The device's `major:minor`; major 0 for what is no single block device."""


def check_encryption(root: Path, kernel: Kernel | None = None) -> Finding:
    """Say what is under the home: encryption that can be seen, or none that can."""
    kernel = kernel or Kernel()
    mount = mount_of(root.resolve(), kernel)
    if mount is None:
        return unverified(CHECK, f"It cannot be told on which disk {root} lies.", remedy=_REMEDY)
    if mount.kind in ENCRYPTED_BY_THEMSELVES:
        return fine(CHECK, f"{mount.point} is encrypted ({mount.kind}).")
    if mount.kind in IN_MEMORY:
        return unverified(
            CHECK,
            f"{mount.point} lies in memory ({mount.kind}), and may be swapped out.",
            remedy="Put the home on a disk: nothing here outlives the machine.",
        )
    number = _number(mount)
    if number is not None and is_encrypted(number, kernel):
        return fine(CHECK, f"{mount.point} is on an encrypted volume ({mount.source}).")
    return unverified(
        CHECK,
        f"No encryption can be seen under {mount.point} ({mount.kind} on {mount.source}): whoever gets "
        "the disk reads what the stores keep, except secrets and names.",
        remedy=_REMEDY,
    )


def mount_of(path: Path, kernel: Kernel) -> Mount | None:
    """The file system that a path lies on; of several at one place the last one covers the rest."""
    found: Mount | None = None
    for line in kernel.mounts.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(f" {_SEPARATOR} ")
        told, origin = before.split(" "), after.split(" ")
        point = Path(told[_POINT].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and (found is None or point.is_relative_to(found.point)):
            found = Mount(point=point, kind=origin[0], source=origin[1], number=told[2])
    return found


def is_encrypted(number: str, kernel: Kernel) -> bool:
    """Whether every disk under a block device is reached through dm-crypt."""
    block = kernel.blocks / number
    uuid = block / "dm" / "uuid"
    if uuid.exists() and uuid.read_text(encoding="ascii").startswith(_DM_CRYPT):
        return True
    under = [*(block / "slaves").glob("*/dev")]
    return bool(under) and all(
        is_encrypted(each.read_text(encoding="ascii").strip(), kernel) for each in under
    )


def _number(mount: Mount) -> str | None:
    """The block device's number; a file system of several disks (btrfs) names one as its source."""
    if not mount.number.startswith("0:"):
        return mount.number
    try:
        device = Path(mount.source).stat().st_rdev
    except OSError:
        return None
    return f"{os.major(device)}:{os.minor(device)}"
