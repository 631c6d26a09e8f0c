"""PostgreSQL refuses to run as root: which user runs it, and how that user sees its files.

No permission outside AITRADING_HOME is ever changed. Where the user may not walk to its files,
the child gets a private mount namespace in which exactly these folders appear below `/mnt`.
"""

import os
import pwd
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aitrading.server.engines import linux
from aitrading.server.engines.errors import ENGINE_USER_UNREACHABLE

CANDIDATES = ("aitrading", "postgres", "nobody")
VIEW_ROOT = Path("/mnt")
PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class OsUser:
    """An account of the machine without rights of its own."""

    name: str
    uid: int
    gid: int

    def may_enter(self, path: Path) -> bool:
        """Tell from mode bits whether this user can walk to `path` and into it."""
        resolved = path.resolve()
        return all(self._may_search(folder) for folder in (resolved, *resolved.parents))

    def _may_search(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """How a child sheds root: the user it becomes and the folders shown to it."""

    user: OsUser
    shown: tuple[Path, ...] = ()

    def inside(self, path: Path) -> Path:
        """Where the child sees `path`."""
        resolved = path.resolve()
        if any(resolved.is_relative_to(folder) for folder in self.shown):
            return VIEW_ROOT / resolved.relative_to("/")
        return resolved

    def enter(self) -> None:
        """Run in the child between fork and exec; raises OSError when the kernel says no."""
        if self.shown:
            self._show_folders()
        os.setgroups([])
        os.setresgid(self.user.gid, self.user.gid, self.user.gid)
        os.setresuid(self.user.uid, self.user.uid, self.user.uid)
        linux.forbid_new_privileges()

    def _show_folders(self) -> None:
        os.umask(0o022)
        linux.private_mounts()
        linux.mount_tmpfs(VIEW_ROOT)
        for folder in self.shown:
            target = VIEW_ROOT / folder.relative_to("/")
            target.mkdir(parents=True)
            linux.mount_bind(folder, target)
        os.chdir("/")


def confinement_for(folders: Iterable[Path], *, data: Path) -> Confinement | None:
    """Decide how to run as a user that may not be root; None when we are not root ourselves.

    Existing data keeps its owner, whatever accounts were created since.
    """
    if os.geteuid() != 0:
        return None
    user = _owner(data) or _first_candidate()
    wanted = tuple(folder.resolve() for folder in folders)
    closed = [folder for folder in wanted if not user.may_enter(folder)]
    if not closed:
        return Confinement(user=user)
    if VIEW_ROOT.is_dir() and mount_namespace_allowed():
        return Confinement(user=user, shown=wanted)
    raise ENGINE_USER_UNREACHABLE.error(user=user.name, path=str(closed[0]))


def mount_namespace_allowed() -> bool:
    """Whether this process may make a private mount namespace (a container often may not)."""
    try:
        done = subprocess.run(
            ["/usr/bin/true"],
            preexec_fn=linux.private_mounts,
            check=False,
            timeout=PROBE_TIMEOUT_S,
        )
    except (subprocess.SubprocessError, OSError):
        return False
    return done.returncode == 0


def hand_over(folder: Path, confinement: Confinement | None) -> None:
    """Give a folder of ours to the user that will run in it."""
    if confinement is not None:
        os.chown(folder, confinement.user.uid, confinement.user.gid)


def _owner(data: Path) -> OsUser | None:
    """Whose the data is; a link in its place says nothing about that."""
    try:
        found = data.lstat()
    except FileNotFoundError:
        return None
    if found.st_uid == 0 or not stat.S_ISDIR(found.st_mode):
        return None
    try:
        entry = pwd.getpwuid(found.st_uid)
    except KeyError:
        raise ENGINE_USER_UNREACHABLE.error(user=str(found.st_uid), path=str(data)) from None
    return OsUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _first_candidate() -> OsUser:
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ENGINE_USER_UNREACHABLE.error(user=" or ".join(CANDIDATES), path="/etc/passwd")
