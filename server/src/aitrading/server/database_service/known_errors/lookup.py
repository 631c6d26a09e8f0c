"""Finding earlier errors like one: by fingerprint, by code, or by what a person read."""

import re
from typing import Final

from aitrading.core.infrastructure.error_dna import SimilarError
from aitrading.core.infrastructure.error_embedding import VERSION, ErrorFeatures, embed
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.known_errors.shapes import features_of
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

BATCH: Final = 200
MAX_SIMILAR: Final = 20
MAX_CLEANINGS: Final = 5
"""Rounds of taking forgotten vectors out; an index that keeps them costs places, not the answer."""
LEAST_SIMILARITY: Final = 0.25
"""Below this two errors have nothing in common that a person would recognise."""
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,99}")
_SQL: Final = Queries.load(__package__ or "", "known_errors.sql")


class ErrorLookup:
    """Compares within one organisation; what is not in the index yet is added first.

    Raises the error of the store that does not answer, or `BREAKER_OPEN`.
    """

    def __init__(self, pool: PostgresPool, index: ErrorIndex, guards: Guards) -> None:
        self._pool = pool
        self._index = index
        self._guards = guards

    async def similar_to(
        self, tenant: TenantId, wanted: str, limit: int = MAX_SIMILAR
    ) -> list[SimilarError]:
        """Like the error with this fingerprint or code, else like this message."""
        known = wanted if _FINGERPRINT.fullmatch(wanted) else ""
        with self._guards.vectors.guard():
            features = await self._features(tenant, wanted)
            return await self._nearest(tenant, features, limit, known)

    async def similar(
        self, tenant: TenantId, features: ErrorFeatures, limit: int, *, excluding: str = ""
    ) -> list[SimilarError]:
        """The most similar ones that have anything in common with it, with their resolutions."""
        with self._guards.vectors.guard():
            return await self._nearest(tenant, features, limit, excluding)

    async def _nearest(
        self, tenant: TenantId, features: ErrorFeatures, limit: int, excluding: str
    ) -> list[SimilarError]:
        """All of it behind one guard: a part that asks no store must not close the breaker."""
        await self._catch_up(tenant)
        described: list[SimilarError] = []
        for _ in range(MAX_CLEANINGS):
            found = await self._index.nearest(tenant, embed(features), limit + 1)
            near = {
                each.fingerprint: each.similarity
                for each in found
                if each.fingerprint != excluding and each.similarity >= LEAST_SIMILARITY
            }
            described = await self._described(tenant, near)
            gone = near.keys() - {each.fingerprint for each in described}
            if not gone:
                break
            # Forgotten while the index was away; left there they would take others' places.
            await self._index.remove(tenant, sorted(gone))
        return described[:limit]

    async def forget(self, tenant: TenantId, fingerprints: list[str]) -> None:
        """Take vectors of forgotten errors out; what cannot be taken out now goes when it is found."""
        with self._guards.vectors.guard():
            await self._index.remove(tenant, fingerprints)

    async def _features(self, tenant: TenantId, wanted: str) -> ErrorFeatures:
        query = None
        if _FINGERPRINT.fullmatch(wanted):
            query = "one"
        elif _CODE.fullmatch(wanted):
            query = "newest_with_code"
        if query is not None:
            async with self._pool.tenant_read(tenant) as tx:
                row = await tx.fetch_row(_SQL[query], wanted)
            if row is not None:
                return features_of(row)
        code = wanted if query == "newest_with_code" else ""
        return ErrorFeatures(message="" if code else wanted, code=code)

    async def _catch_up(self, tenant: TenantId) -> None:
        """Index what was recorded while the index was away, or by another release's embedding."""
        mark = f"{await self._index.mark()}/{VERSION}"
        while True:
            async with self._pool.tenant_tx(tenant) as tx:
                rows = await tx.fetch(_SQL["not_indexed"], mark, BATCH)
            if not rows:
                return
            vectors = {row["fingerprint"]: embed(features_of(row)) for row in rows}
            await self._index.put(tenant, vectors)
            async with self._pool.tenant_tx(tenant) as tx:
                await tx.execute(_SQL["mark_indexed"], mark, list(vectors))

    async def _described(self, tenant: TenantId, near: dict[str, float]) -> list[SimilarError]:
        """Without those that are forgotten."""
        async with self._pool.tenant_read(tenant) as tx:
            rows = {row["fingerprint"]: row for row in await tx.fetch(_SQL["several"], list(near))}
            notes = await tx.fetch(_SQL["notes"], list(near))
        return [
            SimilarError(
                fingerprint=fingerprint,
                code=rows[fingerprint]["code"],
                message=rows[fingerprint]["message"],
                similarity=round(similarity, 4),
                resolutions=tuple(n["note"] for n in notes if n["fingerprint"] == fingerprint),
            )
            for fingerprint, similarity in near.items()
            if fingerprint in rows
        ]
