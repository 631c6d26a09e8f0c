"""No statement of the service goes around the wall between tenants in ClickHouse."""

import re
from pathlib import Path

from aitrading.server.database_service import clickhouse

SOURCES = Path(clickhouse.__file__ or "").parents[1]


def test_only_migrations_see_everybody_and_no_statement_goes_around_the_wall() -> None:
    sources = [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.sql")]
    assert len(sources) > 50
    around = re.compile(r"\b(merge|remote|cluster|clusterAllReplicas|loop|viewIfPermitted)\(")
    for path in sources:
        text = path.read_text()
        if "EVERYBODY" in text:
            assert path.name in {"schema.py", "walls.py"}, path
        if "market." in text and "clickhouse/migrations" not in str(path):
            assert not around.search(text), path
