"""The client's files: whoever changes, adds or takes one away is told, whatever the file times say."""

import os
import py_compile
from collections.abc import Callable
from pathlib import Path

import pytest

from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.installation import (
    MANIFEST_NAME,
    SLICES,
    FilesReport,
    Installation,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.device_reports import FilesState
from aitrading.core.security.file_manifest import (
    FileManifest,
    ListedFile,
    listed,
    opened_manifest,
    signed_manifest,
)

KEY = SigningKey.generate()
PINNED = frozenset({KEY.public.raw.hex()})
MODULE = "aitrading/client/part.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (MODULE, "aitrading/core/other.py", "aitrading/core/data.txt"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"VALUE = {name!r}\n")
    sign(tmp_path)
    return tmp_path


def sign(root: Path, key: SigningKey = KEY) -> None:
    files = listed(root, ["aitrading"], but=[MANIFEST_NAME])
    manifest = FileManifest(version="1.2.3", made_ms=1, folders=("aitrading",), files=tuple(files))
    (root / MANIFEST_NAME).write_bytes(signed_manifest(manifest, key))


def intact(report: FilesReport) -> bool:
    return report.state is FilesState.INTACT


def test_released_files_are_intact_also_when_python_compiled_them(root: Path) -> None:
    installation = Installation(root=root, keys=PINNED)
    report = installation.check(whole=True)
    assert (report.state, report.version, report.checked) == (FilesState.INTACT, "1.2.3", 3)
    py_compile.compile(str(root / MODULE))
    py_compile.compile(str(root / MODULE), optimize=1)
    assert intact(installation.check())
    assert intact(Installation(root=root, keys=PINNED).check(whole=True))


def compiled_otherwise(root: Path) -> None:
    """The source stays as it is; what Python would load does something else."""
    source = root / MODULE
    state, text = source.stat(), source.read_text()
    source.write_text(text.replace("VALUE", "OTHER"))
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    py_compile.compile(str(source))
    source.write_text(text)
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))


def linked(root: Path, name: str) -> None:
    """Code that lies elsewhere, as a folder of the package."""
    outside = root / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "__init__.py").write_text("")
    (root / name).symlink_to(outside, target_is_directory=True)


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda root: (root / MODULE).write_text("VALUE = 1\n"), f"{MODULE} was changed"),
    "missing": (lambda root: (root / MODULE).unlink(), f"{MODULE} is missing"),
    "added": (
        lambda root: (root / "aitrading/evil.py").write_text(""), "aitrading/evil.py was added"
    ),
    "a folder linked": (
        lambda root: linked(root, "aitrading/client/evil"), "aitrading/client/evil was added"
    ),
    "compiled files linked": (
        lambda root: linked(root, "aitrading/core/__pycache__"), "core/__pycache__ was added"
    ),
    "a compiled file beside its source": (compiled_otherwise, "is not what its source compiles to"),
    "a compiled file without a source": (
        lambda root: py_compile.compile(
            str(root / MODULE), cfile=str(root / "aitrading/core/evil.pyc")
        ),
        "aitrading/core/evil.pyc was added",
    ),
    "list removed": (lambda root: (root / MANIFEST_NAME).unlink(), "is missing"),
    "list cut": (
        lambda root: (root / MANIFEST_NAME).write_bytes((root / MANIFEST_NAME).read_bytes()[:-9]),
        "cannot be read",
    ),
    "list signed by another key": (
        lambda root: sign(root, SigningKey.generate()), "a key that is not pinned"
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_whoever_changes_the_installation_is_told(root: Path, attack: str, when: str) -> None:
    do, words = ATTACKS[attack]
    installation = Installation(root=root, keys=PINNED)
    if when == "while it runs":
        assert intact(installation.check(whole=True))
    do(root)
    report = installation.check(whole=when == "before the start")
    assert report.state is FilesState.ALTERED
    assert report.bars_exposure
    assert any(words in each for each in report.findings), report.findings


def test_a_change_that_hides_behind_old_times_is_found_within_an_hour(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the whole stamp could be forged: each file is hashed again within `SLICES` rounds."""
    installation = Installation(root=root, keys=PINNED)
    monkeypatch.setattr("aitrading.client.security.installation._stamp", lambda _: (1, 1, 1, 1))
    assert intact(installation.check(whole=True))
    text = (root / MODULE).read_text()
    (root / MODULE).write_text(text.replace("VALUE", "VALUF"))
    found = [installation.check().state for _ in range(SLICES)]
    assert found[-1] is FilesState.ALTERED, "and what was found stays found"


def test_without_a_signed_list_nothing_is_claimed(tmp_path: Path) -> None:
    report = Installation(root=tmp_path, keys=frozenset()).check(whole=True)
    assert (report.state, report.bars_exposure) == (FilesState.UNSIGNED, False)


def test_a_signed_installation_does_not_become_an_unsigned_one(root: Path, home: Path) -> None:
    seen = DeviceFiles(home).release_seen
    seen.parent.mkdir()
    assert intact(Installation(root=root, keys=PINNED, seen=seen).check())
    (root / MANIFEST_NAME).unlink()
    report = Installation(root=root, keys=frozenset(), seen=seen).check()
    assert report.bars_exposure
    assert "are missing" in report.findings[0]
    seen.unlink()  # as the guide says, for who installs from source on purpose
    report = Installation(root=root, keys=frozenset(), seen=seen).check()
    assert report.state is FilesState.UNSIGNED
    assert not seen.exists()


def test_every_bit_of_a_list_counts(root: Path) -> None:
    whole = (root / MANIFEST_NAME).read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises(AitradingError) as caught:
            opened_manifest(bytes(changed), accepted=PINNED)
        assert caught.value.code == "MANIFEST_DAMAGED"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\\b"])
def test_a_list_names_nothing_outside_of_its_installation(path: str) -> None:
    file = ListedFile(path=path, size=0, sha256="0" * 64)
    manifest = FileManifest(version="1", made_ms=1, folders=("aitrading",), files=(file,))
    with pytest.raises(AitradingError, match="cannot belong"):
        opened_manifest(signed_manifest(manifest, KEY), accepted=PINNED)
