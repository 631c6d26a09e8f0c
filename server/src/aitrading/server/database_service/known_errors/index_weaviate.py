"""Error vectors in Weaviate: one collection, every organisation a tenant of it with its own shard.

The index is flat, so that a search is exact as in PostgreSQL. https://docs.weaviate.io/weaviate/api
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.db_security_manager import StoreTarget
from aitrading.server.database_service.https_store import HttpsStore, StoreErrors
from aitrading.server.database_service.known_errors.errors import (
    VECTORS_REJECTED,
    VECTORS_UNAVAILABLE,
)
from aitrading.server.database_service.known_errors.index import ErrorIndex, Neighbour, Vector

COLLECTION: Final = "AitradingErrorVectors"
TESTED_VERSION: Final = "1.39.0"
"""The adapter's contract suite ran against this one."""
MAX_ASKED: Final = 8_192
_SCHEMA: Final = "/v1/schema"
_GRAPHQL: Final = "/v1/graphql"
_OBJECTS: Final = "/v1/batch/objects"
_NOT_FOUND: Final = frozenset({404})
_EXISTS: Final = frozenset({422})
_NO_TENANT: Final = "tenant not found"
_OURS: Final = "aitrading:"
_NEAREST: Final = (
    "query($tenant:String!){Get{%s(tenant:$tenant,limit:%d,"
    "nearVector:{vector:%s}){fingerprint _additional{distance}}}}"
)
"""Weaviate takes no variables for vectors and limits: what is written in here is numbers alone."""


class _Tenancy(msgspec.Struct, frozen=True):
    enabled: bool = False


class _Collection(msgspec.Struct, frozen=True, rename="camel"):
    description: str = ""
    multi_tenancy_config: _Tenancy = _Tenancy()


class _Meta(msgspec.Struct, frozen=True):
    version: str


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""


class _Problems(msgspec.Struct, frozen=True):
    error: list[_Problem] = []


class _Result(msgspec.Struct, frozen=True):
    status: str = "SUCCESS"
    errors: _Problems | None = None


class _Stored(msgspec.Struct, frozen=True):
    result: _Result


class _Distance(msgspec.Struct, frozen=True):
    distance: float


class _Hit(msgspec.Struct, frozen=True):
    fingerprint: str
    additional: _Distance = msgspec.field(name="_additional")


class _Found(msgspec.Struct, frozen=True):
    get: dict[str, list[_Hit] | None] = msgspec.field(name="Get")


class _Answer(msgspec.Struct, frozen=True):
    data: _Found | None = None
    errors: list[_Problem] = []


class WeaviateErrorIndex(ErrorIndex):
    """Speaks REST and GraphQL over TLS 1.3 with an API key.

    The collection's description names it for ever: a server that lost it, or another server, has
    another mark, and what was indexed before is indexed again.
    """

    def __init__(self, target: StoreTarget, ids: IdFactory) -> None:
        key = target.password.reveal() if target.password else ""
        errors = StoreErrors(unavailable=VECTORS_UNAVAILABLE, rejected=VECTORS_REJECTED)
        self._store = HttpsStore(target, errors, authorization=f"Bearer {key}")
        self._ids = ids

    @property
    @override
    def kind(self) -> str:
        return "weaviate"

    @property
    def store(self) -> HttpsStore:
        """For `doctor`."""
        return self._store

    async def version(self) -> str:
        """What the server calls itself; also proves that it accepts the key."""
        return self._store.decode(await self._store.ask("GET", "/v1/meta"), _Meta).version

    @override
    async def mark(self) -> str:
        """Asked anew each time: the server may have been emptied since."""
        where = f"{_SCHEMA}/{COLLECTION}"
        answer = await self._store.ask("GET", where, accept=_NOT_FOUND)
        if answer.status in _NOT_FOUND:
            # Two services may create it at once; one of them is told that it exists.
            await self._store.ask("POST", _SCHEMA, self._wanted(), accept=_EXISTS)
            answer = await self._store.ask("GET", where)
        collection = self._store.decode(answer, _Collection)
        if not collection.multi_tenancy_config.enabled or _OURS not in collection.description:
            raise VECTORS_REJECTED.error(reason=f"its collection {COLLECTION} is not ours")
        return f"{self.kind}/{collection.description.removeprefix(_OURS)}"

    @override
    async def put(self, tenant: TenantId, vectors: Mapping[str, Vector]) -> None:
        if not vectors:
            return
        objects = [
            {
                "class": COLLECTION,
                "id": str(_object_id(fingerprint)),
                "tenant": str(tenant),
                "properties": {"fingerprint": fingerprint},
                "vector": vector,
            }
            for fingerprint, vector in vectors.items()
        ]
        answer = await self._store.ask("POST", _OBJECTS, {"objects": objects})
        for stored in self._store.decode(answer, list[_Stored]):
            if stored.result.status != "SUCCESS":
                problems = (stored.result.errors or _Problems()).error
                reason = problems[0].message if problems else stored.result.status
                raise VECTORS_UNAVAILABLE.error(reason=reason[:200])

    @override
    async def nearest(self, tenant: TenantId, vector: Vector, limit: int) -> list[Neighbour]:
        """Weaviate leaves the order of equal ones open: it is asked for all that tie with the last."""
        asked = limit + 1
        found = await self._search(tenant, vector, asked)
        while (
            len(found) == asked < MAX_ASKED and found[-1].similarity == found[limit - 1].similarity
        ):
            asked = min(asked * 4, MAX_ASKED)
            found = await self._search(tenant, vector, asked)
        return sorted(found, key=lambda each: (-each.similarity, each.fingerprint))[:limit]

    @override
    async def remove(self, tenant: TenantId, fingerprints: list[str]) -> None:
        if not fingerprints:
            return
        which = {
            "path": ["fingerprint"],
            "operator": "ContainsAny",
            "valueTextArray": fingerprints,
        }
        answer = await self._store.ask(
            "DELETE",
            f"{_OBJECTS}?tenant={tenant}",
            {"match": {"class": COLLECTION, "where": which}, "output": "minimal"},
            accept=_EXISTS,
        )
        if answer.status in _EXISTS and _NO_TENANT.encode() not in answer.body:
            raise VECTORS_REJECTED.error(reason=answer.body[:200].decode(errors="replace"))

    @override
    def close(self) -> None:
        self._store.close()

    async def _search(self, tenant: TenantId, vector: Vector, limit: int) -> list[Neighbour]:
        numbers = msgspec.json.encode(vector).decode()
        body = {
            "query": _NEAREST % (COLLECTION, limit, numbers),
            "variables": {"tenant": str(tenant)},
        }
        answer = self._store.decode(await self._store.ask("POST", _GRAPHQL, body), _Answer)
        if answer.errors:
            if _NO_TENANT in answer.errors[0].message:
                return []
            raise VECTORS_UNAVAILABLE.error(reason=answer.errors[0].message[:200])
        hits = (answer.data.get.get(COLLECTION) if answer.data else None) or []
        return [
            Neighbour(fingerprint=hit.fingerprint, similarity=1 - hit.additional.distance)
            for hit in hits
        ]

    def _wanted(self) -> dict[str, Any]:
        return {
            "class": COLLECTION,
            "description": f"{_OURS}{self._ids.new()}",
            "vectorizer": "none",
            "vectorIndexType": "flat",
            "vectorIndexConfig": {"distance": "cosine"},
            "multiTenancyConfig": {"enabled": True, "autoTenantCreation": True},
            "properties": [
                {
                    "name": "fingerprint",
                    "dataType": ["text"],
                    "tokenization": "field",
                    "indexFilterable": True,
                    "indexSearchable": False,
                }
            ],
        }


def _object_id(fingerprint: str) -> UUID:
    """The same object for the same fingerprint; tenants have shards of their own."""
    return UUID(hex=fingerprint.rjust(32, "0"))
