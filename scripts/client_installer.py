"""Make the installer of the client for Windows: one MSI with Python, packages and a signed list of files.

    client_installer.py KEY.pem --python FOLDER --packages FOLDER --wheels CORE.whl CLIENT.whl --to FOLDER

Everything that will be installed is laid out in one folder, compiled, and signed with the release key;
the MSI is made of it with `wixl` (Debian: wixl). `AITRADING_SIGN_COMMAND` then signs the MSI: a command
in which {} stands for the file, which it changes in place. `make installer` calls this.
"""

import argparse
import compileall
import os
import py_compile
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET  # nosec B405 - written here, never read
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from client_release import sign_tree

from aitrading.client.security.registration import KEY as REGISTRY_KEY
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.file_manifest import WHOLE

SIGN_COMMAND: Final = "AITRADING_SIGN_COMMAND"
UPGRADE_CODE: Final = "6F1B5C8E-3C0D-4E55-9C56-0C2D3B6A7A41"
"""The same for every version, so that one replaces the other."""
NAME: Final = "aitrading client"
COMMAND: Final = "aitrading-client.cmd"
PYTHON: Final = "python"
UNWANTED: Final = ("bin", "Scripts", "**/tests", "**/__pycache__", "*.whl", ".*")
"""Of the packages: what no client runs."""
SEARCHED: Final = ("python311.zip", ".", "..")
"""Where the installed Python looks for modules, and nowhere else."""
EXIT_UNAVAILABLE: Final = 3
WIX: Final = "http://schemas.microsoft.com/wix/2006/wi"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make it, and print where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("key", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, nargs=2, required=True)
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args(arguments)
    if shutil.which("wixl") is None:
        sys.stderr.write(
            "An MSI is made with wixl, which is not here (Debian: apt-get install wixl)\n"
        )
        return EXIT_UNAVAILABLE
    key = SigningKey.from_pem(Secret(given.key.read_bytes()))
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "client"
        lay_out(root, given.python, given.packages, given.wheels)
        version = sign_tree(root, key, folders=[WHOLE], caches=True)
        msi = given.to / f"aitrading-client-{version}-x64.msi"
        make_msi(root, msi, version=version, release_key=key.public.raw.hex())
    sign_msi(msi)
    sys.stderr.write(f"release key {key.public.raw.hex()}\n")
    sys.stdout.write(f"{msi}\n")
    return 0


def lay_out(root: Path, python: Path, packages: Path, wheels: Sequence[Path]) -> None:
    """The folder as it will be installed: packages, below them the interpreter."""
    shutil.copytree(packages, root, ignore_dangling_symlinks=True)
    for pattern in UNWANTED:
        for path in sorted(root.glob(pattern), reverse=True):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
    interpreter = root / PYTHON
    shutil.copytree(python, interpreter)
    for library in list(root.glob("*140*.dll")):
        target = interpreter / library.name
        library.unlink() if target.exists() else library.rename(target)
    text = "".join(f"{line}\n" for line in SEARCHED)
    (interpreter / "python311._pth").write_text(text, encoding="ascii")
    command = f'@"%~dp0{PYTHON}\\python.exe" -m aitrading.client %*\r\n'
    (root / COMMAND).write_bytes(command.encode("ascii"))
    compileall.compile_dir(
        root, quiet=2, stripdir=str(root),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def make_msi(root: Path, msi: Path, *, version: str, release_key: str) -> None:
    """Describe the folder to wixl and let it make the installer."""
    description = msi.with_suffix(".wxs")
    tree = ET.ElementTree(described(root, version=version, release_key=release_key))
    tree.write(description, encoding="utf-8", xml_declaration=True)
    tool = ["wixl", "-a", "x64", "-o", str(msi.resolve()), str(description.resolve())]
    try:
        subprocess.run(tool, check=True, cwd=root)  # noqa: S603 - a tool of the release's own machine
    finally:
        description.unlink()


def described(root: Path, *, version: str, release_key: str) -> ET.Element:
    """The installer: for the machine, by an administrator, under Program Files."""
    wix = ET.Element("Wix", xmlns=WIX)
    product = _add(
        wix, "Product", Id="*", Name=NAME, Language="1033", Version=version,
        Manufacturer="aitrading", UpgradeCode=UPGRADE_CODE,
    )  # fmt: skip
    _add(product, "Package", InstallerVersion="500", Compressed="yes", InstallScope="perMachine",
         Description=NAME, Manufacturer="aitrading")  # fmt: skip
    _add(product, "MajorUpgrade", DowngradeErrorMessage="A newer version is installed.")
    _add(product, "Media", Id="1", Cabinet="client.cab", EmbedCab="yes")
    rights = "This installer needs the rights of an administrator."
    _add(product, "Condition", Message=rights).text = "Privileged"
    target = _add(product, "Directory", Id="TARGETDIR", Name="SourceDir")
    programs = _add(target, "Directory", Id="ProgramFiles64Folder")
    menu = _add(target, "Directory", Id="ProgramMenuFolder")
    _add(menu, "Directory", Id="Menu", Name="aitrading")
    folder = _add(programs, "Directory", Id="INSTALLFOLDER", Name="aitrading")
    parts = _components(root, folder)
    parts.append(_record(folder, version=version, release_key=release_key))
    feature = _add(product, "Feature", Id="Client", Level="1", Title=NAME)
    for part in parts:
        _add(feature, "ComponentRef", Id=part)
    _actions(product)
    return wix


def _components(root: Path, folder: ET.Element) -> list[str]:
    """One component a file, as Windows Installer wants it."""
    folders, parts = {root: folder}, list[str]()
    for number, path in enumerate(sorted(root.rglob("*"))):
        if path.is_dir():
            above = folders[path.parent]
            folders[path] = _add(above, "Directory", Id=f"d{number}", Name=path.name)
            continue
        part = f"c{number}"
        component = _add(folders[path.parent], "Component", Id=part, Guid="*", Win64="yes")
        named = _file_id(path.relative_to(root).as_posix(), number)
        file = _add(
            component, "File", Id=named, Source=path.relative_to(root).as_posix(), KeyPath="yes"
        )
        if path == root / COMMAND:
            _add(file, "Shortcut", Id="Start", Directory="Menu", Name=NAME, Arguments="run",
                 WorkingDirectory="INSTALLFOLDER")  # fmt: skip
        parts.append(part)
    return parts


def _file_id(name: str, number: int) -> str:
    return "Interpreter" if name == f"{PYTHON}/python.exe" else f"f{number}"


def _record(folder: ET.Element, *, version: str, release_key: str) -> str:
    """What the installed client compares itself with."""
    component = _add(folder, "Component", Id="Record", Guid="*", Win64="yes")
    key = _add(component, "RegistryKey", Root="HKLM", Key=REGISTRY_KEY)
    values = {"Version": version, "ReleaseKey": release_key, "Folder": "[INSTALLFOLDER]"}
    for name, value in values.items():
        more = {"KeyPath": "yes"} if name == "Folder" else {}
        _add(key, "RegistryValue", Name=name, Type="string", Value=value, **more)
    return "Record"


def _actions(product: ET.Element) -> None:
    """Close the record in the registry; on request, destroy the data of who uninstalls."""
    _add(product, "CustomAction", Id="CloseRecord", FileKey="Interpreter",
         ExeCommand="-m aitrading.client.security.registration",
         Execute="deferred", Impersonate="no", Return="ignore")  # fmt: skip
    _add(product, "CustomAction", Id="DestroyData", FileKey="Interpreter",
         ExeCommand="-m aitrading.client uninstall --yes", Execute="immediate",
         Return="check")  # fmt: skip
    sequence = _add(product, "InstallExecuteSequence")
    _add(
        sequence, "Custom", Action="CloseRecord", After="WriteRegistryValues"
    ).text = 'NOT REMOVE~="ALL"'
    _add(
        sequence, "Custom", Action="DestroyData", Before="InstallInitialize"
    ).text = 'REMOVE~="ALL" AND REMOVEDATA="1" AND NOT UPGRADINGPRODUCTCODE'


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def sign_msi(msi: Path) -> None:
    """Authenticode by the command of whoever releases; without one it is said that there is none."""
    command = os.environ.get(SIGN_COMMAND)
    if not command:
        sys.stderr.write(f"{msi.name} has no Authenticode signature: {SIGN_COMMAND} is not set\n")
        return
    words = [word.replace("{}", str(msi)) for word in shlex.split(command)]
    subprocess.run(words, check=True)  # noqa: S603 - given by who releases


if __name__ == "__main__":
    sys.exit(main())
