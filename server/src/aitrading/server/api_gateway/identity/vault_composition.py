"""What a device asks for with its key, put together."""

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.credential_shares import CredentialShares
from aitrading.server.api_gateway.identity.device_report_endpoints import DeviceReportEndpoints
from aitrading.server.api_gateway.identity.device_reports import DeviceReports
from aitrading.server.api_gateway.identity.refusals import Refusals
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests
from aitrading.server.api_gateway.identity.vault_admin_endpoints import VaultAdminEndpoints
from aitrading.server.api_gateway.identity.vault_endpoints import VaultEndpoints
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.replay import Replay
from aitrading.server.personal_data.keys import FieldKeys


def vault_endpoints(
    replay: Replay,
    administration: Administration,
    audit: AuditTrail,
    refusals: Refusals,
    *,
    keys: FieldKeys,
    clock: Clock,
    ids: IdFactory,
) -> tuple[VaultEndpoints, VaultAdminEndpoints, DeviceReportEndpoints]:
    """The objects whose methods are endpoints."""
    requests = SignedRequests(replay, audit=audit, refusals=refusals, clock=clock)
    shares = CredentialShares(requests, replay, keys=keys, audit=audit, clock=clock, ids=ids)
    reports = DeviceReports(requests, replay, audit=audit, clock=clock)
    return (
        VaultEndpoints(shares),
        VaultAdminEndpoints(shares, administration),
        DeviceReportEndpoints(reports, administration),
    )
