"""Whose work runs now: the tenant of the running task, for logs, errors and settings.

A convenience for telling, never an authority: data access takes the tenant as an argument. The
value lives in the logging context, so a log line and `current_tenant` cannot disagree.
"""

from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from aitrading.core.infrastructure.error_handler import ErrorContext
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import bind_context, current_context


def current_tenant() -> TenantId | None:
    """The tenant this task works for, or None for the platform's own work."""
    text = current_context().tenant
    return TenantId(UUID(text)) if text else None


@contextmanager
def tenant_scope(tenant: TenantId | None) -> Generator[None]:
    """Work for a tenant until the end of the block; tasks started inside inherit it."""
    with bind_context(tenant=tenant or ""):
        yield


def current_error_context() -> ErrorContext:
    """Tenant and trace of this task, as the error handler wants them."""
    context = current_context()
    return ErrorContext(tenant=context.tenant or None, trace_id=context.trace_id or None)
