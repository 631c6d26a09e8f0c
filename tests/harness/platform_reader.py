"""What a person may read of a platform that a benchmark's harness started."""

import http.client
import json
import ssl
from datetime import date
from typing import Any
from uuid import UUID

from aitrading.core.kit.ids import UserId
from aitrading.server.benchmarks.installation import Installation


class PlatformReader:
    """Asks through the edge, with a token of its own for every question."""

    def __init__(self, installation: Installation, user: UUID) -> None:
        self._installation = installation
        self._user = UserId(user)

    def newest(self) -> dict[str, int]:
        """The newest sequence of each symbol."""
        page = self._get("/api/v1/quotes") or {"items": []}
        return {quote["symbol"]: quote["sequence"] for quote in page["items"]}

    def certificate(self, symbol: str, day: date) -> dict[str, Any] | None:
        """Of a symbol and day; None while nobody knows the symbol."""
        answer = self._get(f"/api/v1/feeds/certificate?symbol={symbol}&day={day}")
        return answer and answer["certificate"]

    def _get(self, path: str) -> Any:
        installation = self._installation
        trust = ssl.create_default_context(cafile=str(installation.trust))
        place = ("localhost", installation.port)
        connection = http.client.HTTPSConnection(*place, context=trust, timeout=60)
        try:
            headers = {"authorization": f"Bearer {installation.token(self._user)}"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status in {200, 404, 503}, said
        return json.loads(said) if answer.status == 200 else None
