"""Runs a service after loading every heavy library of the server: what lazy imports save.

`python -m aitrading.server.benchmarks.eager MODULE` is used by the startup benchmark only.
"""

import importlib
import runpy
import sys

from aitrading.server.database_service.clickhouse.chdb_module import load_engine

HEAVY = (
    "pandas",
    "pyarrow",
    "numpy",
    "asyncpg",
    "nats.aio.client",
    "picows",
    "jinja2",
    "cryptography.x509",
    "aitrading.server.api_gateway.service",
    "aitrading.server.data_bridge.service",
    "aitrading.server.database_service.service",
    "aitrading.server.trading_engine.service",
)


def main(module: str) -> None:
    """Load everything, then be the service; the database service loads its engine itself."""
    for name in HEAVY:
        importlib.import_module(name)
    if not module.endswith("database_service"):
        load_engine()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
