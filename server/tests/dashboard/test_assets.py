"""Static files: the fingerprint covers every byte, and the vendored files are the locked ones."""

import hashlib
import re
from pathlib import Path

import pytest

from aitrading.server.dashboard.assets import FOLDER, Assets, media_type

VENDOR = FOLDER / "vendor"


def test_the_fingerprint_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = Assets(tmp_path).fingerprint
    (tmp_path / "b.js").write_text("1")
    added = Assets(tmp_path).fingerprint
    (tmp_path / "a.js").write_text("2")
    assert len({before, added, Assets(tmp_path).fingerprint}) == 3


def test_an_unknown_file_is_refused_when_the_page_is_written() -> None:
    with pytest.raises(KeyError):
        Assets().url("js/nothing.js")


def test_vendored_files_are_the_recorded_ones() -> None:
    recorded = dict(
        reversed(line.split(maxsplit=1))
        for line in (VENDOR / "SHA256SUMS").read_text().splitlines()
    )
    found = {
        f"./{path.relative_to(VENDOR).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert found == recorded


def test_modules_import_only_files_that_exist() -> None:
    for module in (FOLDER / "js").glob("*.js"):
        for target in re.findall(r'(?:from|import\()\s*"(\.[^"]+)"', module.read_text()):
            assert (module.parent / target).resolve().is_file(), f"{module.name}: {target}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in [*(FOLDER / "js").glob("*.js"), *(FOLDER / "css").glob("*.css")]:
        assert "//" not in re.sub(
            r"(^|\s)//.*|wss://\$\{location.host\}", "", path.read_text(), flags=re.MULTILINE
        ), path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.mjs", "text/javascript"), ("a.svg", "image/svg+xml"), ("A", "text/plain")],
)
def test_media_types_do_not_depend_on_the_host(name: str, kind: str) -> None:
    assert media_type(Path(name)) == kind
