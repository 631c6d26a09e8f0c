"""The service registry in a NATS key-value bucket, so that every process sees every other.

Keys are `<service>.<instance>`. The bucket lives in the server's memory and forgets a record
that nobody renewed for `RECORD_LIFE_S`, however its owner ended.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KeyValue
from typing_extensions import override

from aitrading.core.infrastructure.error_codes import REGISTRY_UNAVAILABLE
from aitrading.core.infrastructure.service_registry import (
    MAX_PENDING_CHANGES,
    RegistryChange,
    RegistryStore,
    ServiceRecord,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.cancellation import cancellation_kept
from aitrading.server.kit.nats_connection import NATS_ERRORS, NatsConnection, until_known

BUCKET: Final = "registry"
RECORD_LIFE_S: Final = 300
BUCKET_MAX_BYTES: Final = 4 << 20

_CONFIG: Final = KeyValueConfig(
    bucket=BUCKET,
    ttl=RECORD_LIFE_S,
    max_bytes=BUCKET_MAX_BYTES,
    storage=StorageType.MEMORY,
    direct=True,
)
_STREAM: Final = f"KV_{BUCKET}"
_PREFIX: Final = f"$KV.{BUCKET}."
_LOST: Final = "the connection to NATS was lost"

_Changes = asyncio.Queue[RegistryChange | None]
_log = get_logger(__name__)


class NatsRegistryStore(RegistryStore):
    """Keeps records over a connection that comes back by itself."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._watches: set[_Changes] = set()
        self._known: tuple[Client, KeyValue] | None = None
        connection.on_lost(self._end_watches)

    @override
    async def put(self, record: ServiceRecord) -> None:
        try:
            with cancellation_kept():
                bucket = await self._bucket()
                await bucket.put(record.key, msgspec.json.encode(record))
        except NATS_ERRORS as exc:
            raise _unavailable(exc) from exc

    @override
    async def get(self, key: str) -> ServiceRecord | None:
        try:
            with cancellation_kept():
                return await _get(await self._bucket(), key)
        except NATS_ERRORS as exc:
            raise _unavailable(exc) from exc

    @override
    async def list(self) -> list[ServiceRecord]:
        try:
            with cancellation_kept():
                bucket = await self._bucket()
                info = await self._client().jetstream().stream_info(_STREAM, f"{_PREFIX}>")
                keys = [subject.removeprefix(_PREFIX) for subject in info.state.subjects or {}]
                records = [await _get(bucket, key) for key in sorted(keys)]
        except NATS_ERRORS as exc:
            raise _unavailable(exc) from exc
        return [record for record in records if record is not None]

    @override
    async def delete(self, key: str) -> None:
        try:
            with cancellation_kept():
                bucket = await self._bucket()
                if await _get(bucket, key) is not None:
                    await bucket.delete(key)
        except NATS_ERRORS as exc:
            raise _unavailable(exc) from exc

    @override
    async def watch(self) -> AsyncIterator[RegistryChange]:
        """As the port promises; a change during the first listing may be told twice."""
        changes = _Changes(MAX_PENDING_CHANGES)

        async def changed(message: Msg) -> None:
            await changes.put(_change_of(message))

        self._watches.add(changes)
        try:
            client = self._client()
            subscription = await client.subscribe(f"{_PREFIX}>", cb=changed)
            await until_known(client)
            for record in await self.list():
                yield RegistryChange(key=record.key, record=record)
            try:
                while (change := await changes.get()) is not None:
                    yield change
            finally:
                if client.is_connected:
                    await subscription.unsubscribe()
            raise REGISTRY_UNAVAILABLE.error(reason=_LOST)
        except NATS_ERRORS as exc:
            raise _unavailable(exc) from exc
        finally:
            self._watches.discard(changes)

    def _client(self) -> Client:
        if not self._connection.is_connected:
            raise REGISTRY_UNAVAILABLE.error(reason=_LOST)
        return self._connection.client

    async def _bucket(self) -> KeyValue:
        client = self._client()
        if self._known is None or self._known[0] is not client:
            try:  # whoever may only use it finds it here, or waits for who may make it
                bucket = await client.jetstream().key_value(BUCKET)
            except BucketNotFoundError:
                bucket = await client.jetstream().create_key_value(_CONFIG)
            self._known = client, bucket
        return self._known[1]

    def _end_watches(self) -> None:
        for changes in self._watches:
            if changes.full():
                changes.get_nowait()
            changes.put_nowait(None)


async def _get(bucket: KeyValue, key: str) -> ServiceRecord | None:
    try:
        entry = await bucket.get(key)
    except KeyNotFoundError:
        return None
    return _record_of(key, entry.value or b"")


def _change_of(message: Msg) -> RegistryChange:
    key = message.subject.removeprefix(_PREFIX)
    record = _record_of(key, message.data) if message.data else None
    return RegistryChange(key=key, record=record)


def _record_of(key: str, data: bytes) -> ServiceRecord | None:
    """None for what is no record, or says to be another's than its key's.

    The bus lets a user write under keys of its own name only, so the key tells who wrote. What one
    service garbles must not keep everybody from discovering the others.
    """
    try:
        record = msgspec.json.decode(data, type=ServiceRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        _log.warning("the registry's entry %s cannot be read: %s", key, exc)
        return None
    if record.key != key:
        _log.warning("the registry's entry %s says to be %s: ignored", key, record.key[:128])
        return None
    return record


def _unavailable(exc: BaseException) -> AitradingError:
    return REGISTRY_UNAVAILABLE.error(reason=str(exc) or type(exc).__name__)
