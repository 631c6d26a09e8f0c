"""Hand the resources to Envoy: each file replaced whole, by an atomic rename."""

import os
from pathlib import Path

import msgspec

from aitrading.server.api_gateway.edge.clusters import clusters
from aitrading.server.api_gateway.edge.config import EdgeConfig
from aitrading.server.api_gateway.edge.json_types import Resource
from aitrading.server.api_gateway.edge.listener import listener, server_secret, token_filter
from aitrading.server.api_gateway.edge.routes import route_file, route_tables

_FILE_MODE = 0o600


def resources(config: EdgeConfig) -> dict[str, list[Resource]]:
    """Every file of the edge by its stem, in the order in which Envoy should learn them."""
    return {
        "cds": clusters(config),
        "sds": [server_secret(config)],
        "ecds": [token_filter(config)],
        **{route_file(name): [table] for name, table in route_tables(config).items()},
        "lds": [listener(config)],
    }


def write_resources(config: EdgeConfig) -> tuple[str, ...]:
    """Write what changed into the watched folder and tell which files that were.

    A crash in between leaves whole files only: Envoy sees the old or the new one, never a part.
    """
    config.xds_folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        stem
        for stem, listed in resources(config).items()
        if _replace(config.xds_folder / f"{stem}.json", _encode(listed))
    )


def _encode(listed: list[Resource]) -> bytes:
    return msgspec.json.format(msgspec.json.encode({"resources": listed}, order="sorted"))


def _replace(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    fresh = path.with_suffix(".tmp")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    return True
