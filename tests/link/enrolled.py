"""A client home as enrolment leaves it, made by the authority directly."""

from pathlib import Path
from uuid import UUID

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate
from aitrading.server.authority.installation import Authority


def enrolled_home(
    home: Path, authority: Authority, port: int, *, number: int = 1, tenant: int = 1
) -> DeviceRecord:
    """Put the identity of device `number` of a tenant into a home."""
    identity = DeviceIdentity(
        tenant=TenantId(UUID(int=tenant)), device=DeviceId(UUID(int=100 * tenant + number))
    )
    key = TlsKey.generate()
    issued = authority.issue_device(create_csr(key, common_name="device"), identity)
    edge = inspect_certificate(
        authority.issue_edge(("localhost", "link.localhost")).certificate_pem
    )
    record = DeviceRecord(
        tenant=identity.tenant,
        device=identity.device,
        server=ServerAddress(host="localhost", port=port),
        server_ca=authority.edge.certificate_pem.decode(),
        server_keys=(edge.spki_sha256.hex(),),
    )
    home.mkdir(parents=True, exist_ok=True)
    DeviceFiles(home).store(record, key, issued.certificate_pem)
    return record
