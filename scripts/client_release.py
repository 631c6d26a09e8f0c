"""Make a client release that can tell whether it was changed: the release key, and the signed list.

    client_release.py key KEY.pem                             draw a release key; keep it offline
    client_release.py sign KEY.pem CORE.whl CLIENT.whl        sign two wheels, in place
    client_release.py sign KEY.pem --tree FOLDER              sign an unpacked installation
    client_release.py code-sign PROGRAM CERTIFICATE.pfx       Authenticode, if you have a certificate

The installer for Windows is made of all that by client_installer.py.

Signing wheels covers the files of aitrading; signing a tree covers everything in it, the interpreter
and its packages too. The public key is written into what is signed: whoever installs compares it
with the one that you publish.
"""

import argparse
import base64
import csv
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aitrading.client.security.installation import KEYS_NAME, MANIFEST_NAME
from aitrading.core.kit.clock import SystemClock, now_ms
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import SigningKey, sha256
from aitrading.core.security.file_manifest import FileManifest, listed, signed_manifest

KEYS_PATH: Final = f"aitrading/client/security/{KEYS_NAME}"
PRIVATE_MODE: Final = 0o600
TIMESTAMP_URL: Final = "AITRADING_TIMESTAMP_URL"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("key").add_argument("key", type=Path)
    sign = commands.add_parser("sign")
    sign.add_argument("key", type=Path)
    sign.add_argument("wheels", type=Path, nargs="*")
    sign.add_argument("--tree", type=Path)
    code = commands.add_parser("code-sign")
    code.add_argument("program", type=Path)
    code.add_argument("certificate", type=Path)
    code.add_argument("--password-file", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "key":
        return make_key(given.key)
    if given.command == "code-sign":
        return code_sign(given.program, given.certificate, given.password_file)
    key = SigningKey.from_pem(Secret(given.key.read_bytes()))
    if given.tree is not None:
        sign_tree(
            given.tree, key, folders=[each.name for each in given.tree.iterdir() if each.is_dir()]
        )
    elif len(given.wheels) == len(("core", "client")):
        sign_wheels(given.wheels, key)
    else:
        parser.error("sign needs the wheels of core and client, or --tree")
    sys.stdout.write(f"{key.public.raw.hex()}\n")
    return 0


def make_key(path: Path) -> int:
    """Draw a key; an existing file is never replaced."""
    key = SigningKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.pem().reveal())
    sys.stdout.write(f"{key.public.raw.hex()}\n")
    return 0


def sign_tree(root: Path, key: SigningKey, *, folders: Sequence[str], caches: bool = False) -> str:
    """Pin the key in an installation and sign the list of its files; answers its version.

    `root` is the folder in which `aitrading` lies. `caches` lists compiled code as it is, for who
    compiled it before.
    """
    (root / KEYS_PATH).write_text(f"{key.public.raw.hex()}\n", encoding="ascii")
    (version,) = {
        path.name.split("-")[1] for path in root.glob("aitrading_client-*.dist-info")
    } or {"source"}
    version = version.removesuffix(".dist")
    manifest = FileManifest(
        version=version,
        made_ms=now_ms(SystemClock()),
        folders=tuple(sorted(folders)),
        files=tuple(listed(root, sorted(folders), but=[MANIFEST_NAME], caches=caches)),
    )
    (root / MANIFEST_NAME).write_bytes(signed_manifest(manifest, key))
    return version


def sign_wheels(wheels: Sequence[Path], key: SigningKey) -> None:
    """Sign core and client together; the list goes into the client's wheel."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(root)
        sign_tree(root, key, folders=["aitrading"])
        (client,) = [wheel for wheel in wheels if wheel.name.startswith("aitrading_client-")]
        changed = {name: (root / name).read_bytes() for name in (KEYS_PATH, MANIFEST_NAME)}
        _replace_in_wheel(client, changed)


def _replace_in_wheel(wheel: Path, changed: dict[str, bytes]) -> None:
    """Put files into a wheel, and into its own list of files."""
    aside = wheel.with_suffix(".signing")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as new:
        (record,) = [name for name in old.namelist() if name.endswith(".dist-info/RECORD")]
        for name in old.namelist():
            if name not in changed and name != record:
                new.writestr(old.getinfo(name), old.read(name))
        for name, data in changed.items():
            new.writestr(name, data)
        rows = [
            row
            for row in csv.reader(io.StringIO(old.read(record).decode()))
            if row[0] not in changed
        ]
        rows += [[name, _record_digest(data), str(len(data))] for name, data in changed.items()]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        new.writestr(record, text.getvalue())
    aside.replace(wheel)


def _record_digest(data: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(sha256(data)).rstrip(b'=').decode()}"


def code_sign(program: Path, certificate: Path, password: Path | None = None) -> int:
    """Sign a program or installer with osslsigncode; its password is asked for, or read from a file.

    An EV certificate gives no instant reputation with SmartScreen any more; a time stamp keeps the
    signature good after the certificate's end.
    """
    tool = shutil.which("osslsigncode")
    if tool is None:
        sys.stderr.write("osslsigncode is not installed (Debian: apt-get install osslsigncode)\n")
        return 3
    signed = program.with_suffix(f"{program.suffix}.signed")
    stamp = ["-ts", os.environ[TIMESTAMP_URL]] if TIMESTAMP_URL in os.environ else []
    access = ["-readpass", str(password)] if password else ["-askpass"]
    command = [tool, "sign", "-pkcs12", str(certificate), *access, "-h", "sha256", *stamp,
               "-in", str(program), "-out", str(signed)]  # fmt: skip
    done = subprocess.run(command, check=False)  # noqa: S603 - a tool of the release's own machine
    if done.returncode == 0:
        signed.replace(program)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
