"""Which cache this service has."""

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.server.database_service.call_sites import SERVICE
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.settings import CacheSettings
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.valkey import ValkeyClient


def in_process(settings: CacheSettings, stores: StoreSettings) -> bool:
    """Whether the cache lives in this process: by wish, or because there is no other store."""
    return settings.in_process or stores.postgres_alone


def make_cache(
    client: ValkeyClient,
    settings: CacheSettings,
    stores: StoreSettings,
    guards: Guards,
    clock: Clock,
    ids: IdFactory,
) -> Cache:
    """Over the client, or inside this process where the settings say so."""
    if in_process(settings, stores):
        return Cache(SERVICE, InProcessCache(clock), clock, ids)
    return Cache(SERVICE, ServedCache(client, guards.cache.guard), clock, ids)
