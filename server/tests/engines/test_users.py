"""The engines as root, as an ordinary user, and where root may not shed its rights."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines import os_user
from aitrading.server.engines.os_user import mount_namespace_allowed
from aitrading.server.testing.engines import running_postgres

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

ALL_ENGINES = """
import asyncio, os, sys
from pathlib import Path
from aitrading.server.testing.engines import running_nats, running_postgres, running_valkey

async def main(folder):
    assert os.geteuid() != 0
    async with running_postgres(folder), running_valkey(folder), running_nats(folder):
        print("all three answer")

asyncio.run(main(Path(sys.argv[1])))
"""
AS_NOBODY = """
set -e
private_python=$1; shift
home=$(dirname "$private_python")
if ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$private_python"; then
    closed=/$(echo "$home" | cut -d/ -f2)
    top=/$(echo "$home" | cut -d/ -f2,3)
    mount --bind "$top" /mnt
    mount -t tmpfs -o mode=0755 tmpfs "$closed"
    mkdir -p "$top"
    mount --bind /mnt "$top"
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
"""


def every_mode(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Mode and owner of a folder and of everything above it."""
    for path in (folder, *folder.parents):
        status = path.stat()
        yield str(path), stat.S_IMODE(status.st_mode), status.st_uid


def status_of_postmaster(home: Path) -> str:
    pid = (home / "postgres/18/data/postmaster.pid").read_text().split()[0]
    return Path(f"/proc/{pid}/status").read_text()


@needs_root
def test_an_ordinary_user_runs_every_engine() -> None:
    if not mount_namespace_allowed():
        pytest.skip("no private mount namespace here: nobody may not reach this interpreter")
    folder = Path("/tmp") / f"ait-nobody-{os.getpid()}"  # noqa: S108 - must be reachable for nobody
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    command = [sys.executable, "-c", ALL_ENGINES, str(folder)]
    interpreter = str(Path(sys.executable).resolve())
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", AS_NOBODY, "sh", interpreter, *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        )
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "all three answer" in done.stdout


@needs_root
@async_test
async def test_root_sheds_its_rights_and_changes_no_permission_outside(tmp_path: Path) -> None:
    outside = tmp_path / "closed"
    outside.mkdir(mode=0o700)
    home = outside / "home"
    home.mkdir(mode=0o700)
    before = list(every_mode(home))
    async with running_postgres(home):
        status = status_of_postmaster(home)
        uids = {int(uid) for uid in status.split("Uid:")[1].splitlines()[0].split()}
        assert 0 not in uids
        assert "NoNewPrivs:\t1" in status
        assert pwd.getpwuid(uids.pop()).pw_name in os_user.CANDIDATES
    assert list(every_mode(home)) == before


@needs_root
@async_test
async def test_a_closed_folder_without_namespaces_is_a_clear_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os_user, "mount_namespace_allowed", lambda: False)
    home = tmp_path / "closed"
    home.mkdir(mode=0o700)
    with pytest.raises(AitradingError) as refusal:
        async with running_postgres(home):
            pass
    assert refusal.value.code == "ENGINE_USER_UNREACHABLE"
    assert str(home) in refusal.value.message
