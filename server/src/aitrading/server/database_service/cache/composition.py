"""Which cache this service has."""

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.server.database_service.call_sites import SERVICE
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.settings import CacheSettings
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.valkey import ValkeyClient


def make_cache(
    client: ValkeyClient, settings: CacheSettings, guards: Guards, clock: Clock, ids: IdFactory
) -> Cache:
    """Over the client, or inside this process where the settings say so."""
    if settings.in_process:
        return Cache(SERVICE, InProcessCache(clock), clock, ids)
    return Cache(SERVICE, ServedCache(client, guards.cache.guard), clock, ids)
