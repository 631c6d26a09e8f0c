"""What each wheel may contain, and that the client stands alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
SERVER_ONLY = ("asyncpg", "nats", "chdb", "redis", "argon2", "starlette", "dsn", "row security")
CLIENT_TESTS = ROOT / "client" / "tests"
IMPORTED_ONLY = ("terminal", "metatrader_connector", "conftest.py", "__init__.py", "__pycache__")
STARTED = (
    "terminal/test_process.py",
    "terminal/pool/test_program.py",
    "metatrader_connector/test_poller.py",
)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("wheels")
    built = {}
    for part in ("core", "server", "client"):
        run([str(UV), "build", "--wheel", "--package", f"aitrading-{part}", "-o", str(out)])
        (built[part],) = out.glob(f"aitrading_{part}-*.whl")
    return built


@pytest.mark.parametrize("part", ["core", "server", "client"])
def test_wheel_ships_its_own_part_only(wheels: dict[str, Path], part: str) -> None:
    own = (f"aitrading/{part}/", f"aitrading_{part}-")
    names = [name for name in zipfile.ZipFile(wheels[part]).namelist() if name[-1] != "/"]
    assert [name for name in names if not name.startswith(own)] == []
    assert f"aitrading/{part}/py.typed" in names


@pytest.mark.parametrize("part", ["core", "client"])
def test_no_server_knowledge_leaves_the_server(wheels: dict[str, Path], part: str) -> None:
    """Neither a server module, nor SQL, nor a server-side driver is in what customers install."""
    archive = zipfile.ZipFile(wheels[part])
    found = []
    for name in archive.namelist():
        if name.endswith((".sql", ".lua")):
            found.append(name)
        if name.endswith(".py"):
            text = archive.read(name).decode()
            imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
            found += [
                f"{name}: {line}"
                for line in imports
                if "aitrading.server" in line
                or any(line.split()[1].split(".")[0] == module for module in SERVER_ONLY)
            ]
    assert found == []


def test_client_tests_pass_without_the_server_wheel(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    """A customer's machine: core and client from their wheels, and no server anywhere.

    Each test module is imported there, and those run that read what the wheels ship or start a
    program of it. What terminal and connector do is the same from a wheel as from a checkout.
    """
    python = tmp_path / "venv" / "bin" / "python"
    run([str(UV), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")])
    pinned = tmp_path / "requirements.txt"
    export = ["export", "--quiet", "--frozen", "--package", "aitrading-client", "--group", "test"]
    run([str(UV), *export, "--no-emit-workspace", "--no-hashes", "-o", str(pinned)])
    packages = ["-r", str(pinned), str(wheels["core"]), str(wheels["client"])]
    run([str(UV), "pip", "install", "--quiet", "--python", str(python), *packages])
    absent = run([str(python), "-c", "import aitrading.server"], check=False)
    assert absent.returncode != 0
    whole = [each for each in CLIENT_TESTS.iterdir() if each.name not in IMPORTED_ONLY]
    started = [CLIENT_TESTS / name for name in STARTED]
    pytest_there = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    pytest_there += ["-c", str(ROOT / "pyproject.toml")]
    for tests in (["--collect-only", str(CLIENT_TESTS)], [*map(str, whole + started)]):
        result = run([*pytest_there, *tests], check=False)
        assert result.returncode == 0, result.stdout[-4000:]


def test_signed_wheels_install_and_know_when_they_were_changed(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    signed = [shutil.copy(wheels[part], tmp_path) for part in ("core", "client")]
    release = [sys.executable, "scripts/client_release.py"]
    public = run([*release, "key", str(tmp_path / "key.pem")]).stdout.strip()
    assert run([*release, "sign", str(tmp_path / "key.pem"), *signed]).stdout.strip() == public
    site = tmp_path / "site"
    install = [str(UV), "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    run([*install, "--compile-bytecode", "--python", sys.executable, *signed])
    check = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from aitrading.client.security.installation import Installation\n"
        "report = Installation().check(whole=True); print(report.state, report.findings)"
    )
    command = [sys.executable, "-I", "-c", check]
    assert run(command).stdout == "intact ()\n"
    (site / "aitrading" / "sitecustomize.py").write_text("")
    assert run(command).stdout == "altered ('aitrading/sitecustomize.py was added',)\n"


def run(command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done
