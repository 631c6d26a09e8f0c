"""A program with a key of its own: each request it makes brings a proof (RFC 9449)."""

from typing import Any
from urllib.parse import urlsplit

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.possession import ProofMaker
from harness.platform import REFUSED_FOR_NOW, Platform, until_taken

LOGIN = "/api/v1/auth/login"


class Program:
    """Logs in as somebody of the demo; its token works with proofs of its key alone."""

    def __init__(self, platform: Platform, user: str = "trader") -> None:
        clock = SystemClock()
        self._platform = platform
        self._origin = f"https://{urlsplit(platform.url).netloc}"
        self._maker = ProofMaker(
            SigningKey.generate(), clock=clock, ids=SystemIdFactory(clock, SystemRandomness())
        )
        self._token: str | None = None
        body = {
            "tenant": "demo",
            "username": user,
            "password": platform.password(user),
            "deliver": "token",
        }
        status, answer = until_taken(
            lambda: self.send("POST", LOGIN, self.proven("POST", LOGIN), body),
            lambda answered: answered[0] in REFUSED_FOR_NOW,
        )
        assert (status, answer["token_type"]) == (200, "DPoP"), answer
        self._token = answer["access_token"]

    def proven(self, method: str, path: str) -> dict[str, str]:
        """The headers of one request."""
        proof = self._maker.make(method, f"{self._origin}{path}", self._token)
        told = {"authorization": f"DPoP {self._token}"} if self._token else {}
        return {"dpop": proof, **told}

    def send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
        """One request with given headers: the status and the decoded JSON."""
        return self._platform.request(method, path, person=None, headers=headers, body=body)

    def get(self, path: str) -> int:
        """The status of a fresh request."""
        return int(self.send("GET", path, self.proven("GET", path))[0])
