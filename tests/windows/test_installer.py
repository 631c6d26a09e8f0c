"""The installer as whoever releases makes it and whoever installs it meets it, under Wine.

`make test-windows` brings the Windows; it takes minutes, so nothing else runs this.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aitrading.client.security.device_files import DeviceRecord, ServerAddress
from aitrading.core.kit.clock import SystemClock, now_utc

ROOT = Path(__file__).parents[2]
WINE = os.environ.get("AITRADING_WINE", "")
PROGRAMS = Path(os.environ.get("WINEPREFIX", "/nowhere")) / "drive_c" / "Program Files"
FOLDER = PROGRAMS / "aitrading"
COMMAND = r"C:\Program Files\aitrading\aitrading-client.cmd"
REGISTRY = r"HKLM\SOFTWARE\aitrading\client"
PASSWORD = "throw-away"  # noqa: S105 - of a certificate that this test makes
TIMEOUT_S = 240

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not WINE, reason="installs under Wine: make test-windows"),
]


@dataclass(frozen=True)
class Release:
    """What a firm has after `make installer`."""

    msi: Path
    key: str
    certificate: Path
    home: Path


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL, env=os.environ | environment, errors="replace",
    )  # fmt: skip


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


def certificate(folder: Path) -> Path:
    """A certificate for signing programs that nobody else trusts; answers the public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A throw-away firm")])
    now = now_utc(SystemClock())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kept = serialization.BestAvailableEncryption(PASSWORD.encode())
    (folder / "firm.pfx").write_bytes(
        pkcs12.serialize_key_and_certificates(b"firm", key, made, None, kept)
    )
    (folder / "password").write_text(PASSWORD)
    public = folder / "firm.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return public


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Made as the documents say it: a key, a certificate, `make installer`."""
    place = tmp_path_factory.mktemp("release")
    made = run(sys.executable, "scripts/client_release.py", "key", str(place / "release.pem"))
    public = certificate(place)
    sign = (
        f"{sys.executable} scripts/client_release.py code-sign {{}} {place / 'firm.pfx'} "
        f"--password-file {place / 'password'}"
    )
    has_tool = shutil.which("osslsigncode") is not None
    built = run(
        "scripts/make_installer.sh", str(place / "release.pem"), str(place),
        **({"AITRADING_SIGN_COMMAND": sign} if has_tool else {}),
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return Release(
        msi=Path(built.stdout.splitlines()[-1]), key=made.stdout.strip(),
        certificate=public, home=place / "home",
    )  # fmt: skip


@pytest.fixture(scope="module")
def installed(release: Release) -> Generator[Release]:
    done = run(WINE, "msiexec", "/i", windows_path(release.msi), "/qn")
    assert done.returncode == 0, done.stdout + done.stderr
    yield release
    run(WINE, "msiexec", "/x", windows_path(release.msi), "/qn")


def doctor(release: Release) -> dict[str, dict[str, str]]:
    told = run(
        WINE, "cmd", "/c", COMMAND, "doctor", "--json", "--home", windows_path(release.home)
    )
    return {finding["what"]: finding for finding in json.loads(told.stdout)}


@pytest.mark.skipif(not shutil.which("osslsigncode"), reason="no osslsigncode (Debian)")
def test_the_installer_is_signed_by_the_firm_and_no_changed_one_is(
    release: Release, tmp_path: Path
) -> None:
    def verified(msi: Path) -> bool:
        return run(
            "osslsigncode", "verify", "-in", str(msi), "-CAfile", str(release.certificate)
        ).returncode == 0  # fmt: skip

    assert verified(release.msi)
    data = bytearray(release.msi.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.msi").write_bytes(data)
    assert not verified(tmp_path / "changed.msi")


def test_what_is_installed_runs_and_is_intact(installed: Release) -> None:
    told = run(WINE, "cmd", "/c", COMMAND, "--version")
    assert told.stdout.startswith("aitrading-client, version "), told.stdout + told.stderr
    findings = doctor(installed)
    assert findings["files"]["verdict"] == "ok", findings["files"]
    assert findings["registration"]["verdict"] == "ok", findings["registration"]
    assert findings["hardening: in-job"]["verdict"] == "ok"
    assert "is installed" in findings["terminal"]["found"]
    people = run(WINE, "cmd", "/c", COMMAND, "doctor", "--home", windows_path(installed.home))
    assert "Traceback" not in people.stdout + people.stderr


def replaced(path: Path, old: bytes, new: bytes) -> bytes:
    """Change a file; answers what it was."""
    before = path.read_bytes()
    assert old in before
    path.write_bytes(before.replace(old, new, 1))
    return before


def test_whatever_is_changed_is_told(installed: Release) -> None:
    source = FOLDER / "click" / "core.py"
    compiled = FOLDER / "click" / "__pycache__" / "core.cpython-311.pyc"
    added = FOLDER / "python" / "sitecustomize.py"
    before = {
        path: replaced(path, b"The context is a special", b"THE context is a special")
        for path in (source, compiled)
    }
    added.write_text("")
    other_key = "0" * 64
    try:
        run(WINE, "reg", "add", REGISTRY, "/v", "ReleaseKey", "/d", other_key, "/f")
        files = doctor(installed)["files"]
    finally:
        added.unlink()
        for path, data in before.items():
            path.write_bytes(data)
    assert files["verdict"] == "broken"
    for words in (
        "click/core.py was changed",
        "click/__pycache__/core.cpython-311.pyc was changed",
        "python/sitecustomize.py was added",
        "the registration names another release key",
    ):
        assert words in files["found"]
    run(WINE, "reg", "add", REGISTRY, "/v", "ReleaseKey", "/d", installed.key, "/f")
    assert doctor(installed)["files"]["verdict"] == "ok"


def test_removing_it_removes_the_data_when_asked(installed: Release) -> None:
    identity = installed.home / "identity"
    identity.mkdir(parents=True)
    record = DeviceRecord(
        tenant=UUID(int=1), device=UUID(int=2), server=ServerAddress(host="nowhere", port=1),
        server_ca="", server_keys=(),
    )  # fmt: skip
    (identity / "device.json").write_bytes(msgspec.json.encode(record))
    done = run(
        WINE, "msiexec", "/x", windows_path(installed.msi), "/qn", "REMOVEDATA=1",
        AITRADING_CLIENT_HOME=windows_path(installed.home),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not installed.home.exists()
    assert not (FOLDER / "aitrading").exists()
    assert run(WINE, "reg", "query", REGISTRY).returncode != 0
