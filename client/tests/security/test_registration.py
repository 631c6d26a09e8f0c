"""The installer's record: who may change it, as Windows writes rights, and what a wrong one means."""

from dataclasses import replace
from pathlib import Path

import pytest

from aitrading.client.security.installation import MANIFEST_NAME, Installation
from aitrading.client.security.registration import (
    CLOSED,
    Registration,
    foreign_writers,
    registration,
)
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.device_reports import FilesState
from aitrading.core.security.file_manifest import (
    WHOLE,
    FileManifest,
    listed,
    opened_manifest,
    signed_manifest,
)

KEY = SigningKey.generate()
PUBLIC = KEY.public.raw.hex()
USER = "S-1-5-21-1-2-3-1001"


@pytest.mark.parametrize(
    ("rights", "writers"),
    [
        (CLOSED, ()),
        ("O:SYD:(A;;KA;;;BA)(A;CIIO;KA;;;CO)(A;CIIO;GA;;;BU)(A;;GR;;;BU)(A;;0x20019;;;AC)", ()),
        ("O:BAD:P(A;;KA;;;BA)(D;;KA;;;WD)", ()),
        (f"O:{USER}D:P(A;;KA;;;BA)", (USER,)),
        ("O:BAD:P(A;;KA;;;BA)(A;;KRKW;;;BU)", ("BU",)),
        ("O:BAD:P(A;;CCDC;;;WD)", ("WD",)),
        (f"O:BAD:P(A;;KR;;;BU)(A;;0xf003f;;;{USER})", (USER,)),
        ("O:BAD:P(A;;0x2;;;BU)", ("BU",)),
        ("O:BAD:P(A;;WD;;;IU)", ("IU",)),
        ("O:BAD:P(A;;ZZ;;;IU)", ("IU",)),
        ("O:BAD:NO_ACCESS_CONTROL", ("everybody",)),
        ("O:BA", ("everybody",)),
        ("D:P(A;;KA;;;BA)", ("an unknown owner",)),
    ],
)
def test_who_can_change_it_is_read_from_its_rights(rights: str, writers: tuple[str, ...]) -> None:
    assert foreign_writers(rights) == writers


def test_elsewhere_than_on_windows_there_is_none() -> None:
    assert registration() is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("aitrading/client/part.py", "python/python.exe", "alone.py"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("VALUE = 1\n")
    files = listed(tmp_path, [WHOLE], but=[MANIFEST_NAME])
    manifest = FileManifest(version="1.2.3", made_ms=1, folders=(WHOLE,), files=tuple(files))
    (tmp_path / MANIFEST_NAME).write_bytes(signed_manifest(manifest, KEY))
    return tmp_path


def record(root: Path) -> Registration:
    return Registration(folder=str(root), version="1.2.3", release_key=PUBLIC, writers=())


def state(root: Path, told: Registration | None, keys: frozenset[str]) -> FilesState:
    return Installation(root=root, keys=keys, registered=lambda: told).check(whole=True).state


def test_a_record_that_fits_changes_nothing(root: Path) -> None:
    assert state(root, record(root), frozenset({PUBLIC})) is FilesState.INTACT
    elsewhere = replace(record(root), folder="/elsewhere", release_key="")
    assert state(root, elsewhere, frozenset({PUBLIC})) is FilesState.INTACT


@pytest.mark.parametrize(
    "changes", [{"release_key": "00"}, {"version": "1.2.2"}, {"writers": ("BU",)}]
)
def test_one_that_does_not_fit_is_told(root: Path, changes: dict[str, object]) -> None:
    told = replace(record(root), **changes)
    assert state(root, told, frozenset({PUBLIC})) is FilesState.ALTERED


def test_a_release_cannot_become_an_unsigned_one(root: Path) -> None:
    """List and key taken away by somebody who cannot reach the registry."""
    (root / MANIFEST_NAME).unlink()
    assert state(root, None, frozenset()) is FilesState.UNSIGNED
    assert state(root, record(root), frozenset()) is FilesState.ALTERED


def test_files_signed_by_another_with_its_key_pinned_are_told(root: Path) -> None:
    other = SigningKey.generate()
    manifest = opened_manifest((root / MANIFEST_NAME).read_bytes(), accepted={PUBLIC})
    (root / MANIFEST_NAME).write_bytes(signed_manifest(manifest, other))
    theirs = frozenset({other.public.raw.hex()})
    assert state(root, None, theirs) is FilesState.INTACT
    assert state(root, record(root), theirs) is FilesState.ALTERED


def test_a_record_that_cannot_be_read_is_told(root: Path) -> None:
    def unreadable() -> Registration | None:
        raise OSError("no")

    installation = Installation(root=root, keys=frozenset({PUBLIC}), registered=unreadable)
    assert installation.check().state is FilesState.ALTERED


def test_what_is_added_anywhere_in_a_whole_installation_is_told(root: Path) -> None:
    (root / "sitecustomize.py").write_text("")
    report = Installation(root=root, keys=frozenset({PUBLIC}), registered=lambda: None).check()
    assert report.findings == ("sitecustomize.py was added",)
