"""The way of a command to the running platform on this host: through the supervisor."""

from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from aitrading.server.cli.errors import CLI_NAME_UNKNOWN, PERSON_AMBIGUOUS
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

T = TypeVar("T")
GATEWAY: Final = "api-gateway"
ADMIN: Final = "/internal/v1/admin"
PLATFORM_TENANT: Final = "platform"


class TenantName(msgspec.Struct):
    """As far as it is needed to choose one."""

    name: str
    id: UUID


class Host:
    """Asks the api-gateway, or another service, in the name of the host's administrator."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self._client = AdminClient(self.home)

    def get(self, path: str, answer: type[T], *, peer: str = GATEWAY, **query: str) -> T:
        """GET below the administration interface."""
        return self._call(answer, peer=peer, method="GET", path=f"{ADMIN}/{path}", query=query)

    def post(self, path: str, body: dict[str, Any], answer: type[T], *, peer: str = GATEWAY) -> T:
        """POST below the administration interface; members that are None are left out."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._call(answer, peer=peer, method="POST", path=f"{ADMIN}/{path}", body=given)

    def send(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        peer: str,
        body: dict[str, Any] | None = None,
        **query: str,
    ) -> T:
        """Any other method below the administration interface."""
        call: dict[str, Any] = {"method": method, "path": f"{ADMIN}/{path}", "query": query}
        if body is not None:
            call["body"] = body
        return self._call(answer, peer=peer, **call)

    def ask(self, peer: str, path: str, answer: type[T], **query: str) -> T:
        """GET from another service's internal interface."""
        return self._client.request(
            "call", answer, peer=peer, method="GET", path=path, query=query
        )

    def tell(self, peer: str, path: str, body: dict[str, Any], answer: type[T], **query: str) -> T:
        """POST to another service's internal interface; members that are None are left out."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._client.request(
            "call", answer, peer=peer, method="POST", path=path, query=query, body=given
        )

    def tenant_id(self, name: str) -> UUID:
        """The id of the organisation with this name or id; raises CLI_NAME_UNKNOWN."""
        for each in self.get("tenants", list[TenantName]):
            if name in {each.name, str(each.id)}:
                return each.id
        raise CLI_NAME_UNKNOWN.error(what="organisation", name=name)

    def person(self, given: str) -> dict[str, str]:
        """`TENANT/USER`, or `USER` where there is only one organisation."""
        tenant, slash, user = given.partition("/")
        if slash:
            return {"tenant": tenant, "user": user}
        return {"tenant": self.only_tenant(given), "user": given}

    def only_tenant(self, given: str) -> str:
        """The one organisation there is; raises PERSON_AMBIGUOUS."""
        names = [tenant.name for tenant in self.get("tenants", list[TenantName])]
        names = [name for name in names if name != PLATFORM_TENANT]
        if len(names) != 1:
            raise PERSON_AMBIGUOUS.error(given=given, tenants=", ".join(names) or "none")
        return names[0]

    def _call(self, answer: type[T], **call: object) -> T:
        return self._client.request("call", answer, **call)
