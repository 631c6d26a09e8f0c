"""Runs one service process from its bundle to its orderly end.

Everything that can be wrong without asking the outside is found first: bundle, settings and the
dependency graph; then the process waits for `go`, answers probes, starts its components, and
serves until SIGTERM or the end of the control pipe.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, cast

import msgspec
import uvloop

from aitrading.core.infrastructure.central_hub import CentralHub, ServiceRecord
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import ComponentHealth
from aitrading.core.infrastructure.import_manager import Container
from aitrading.core.infrastructure.lifecycle import (
    Component,
    ComponentState,
    LifecycleManager,
    TaskSet,
)
from aitrading.core.kit.clock import NS_PER_MS, Clock, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import LogRouter, configure_logging, get_logger
from aitrading.server.kit.asgi import AppParts, build_app
from aitrading.server.kit.bundle import ServiceBundle, load_bundle
from aitrading.server.kit.endpoints import endpoints_of
from aitrading.server.kit.http_servers import Gate, HttpServers
from aitrading.server.kit.service_control import ServiceControl
from aitrading.server.kit.service_errors import (
    BUNDLE_FOREIGN,
    BUNDLE_MISSING,
    BUNDLE_UNREADABLE,
    LISTENER_FAILED,
)
from aitrading.server.kit.service_parts import components_of, graph_of
from aitrading.server.kit.service_reload import HotReload, log_problems
from aitrading.server.kit.service_settings import ServiceSettings
from aitrading.server.kit.service_spec import COMMON_SECTIONS, ServiceSpec

__all__ = ["BUNDLE_VARIABLE", "ServiceSpec", "run_service"]

BUNDLE_VARIABLE: Final = "AITRADING_BUNDLE"
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 78
"""`EX_CONFIG`: a restart would end the same way."""

_log = get_logger(__name__)


def run_service(spec: ServiceSpec) -> NoReturn:
    """Be this service until told to stop, then exit: 0 orderly, 78 wrongly configured, else 1."""
    sys.exit(execute(spec, os.environ))


def execute(spec: ServiceSpec, environ: Mapping[str, str]) -> int:
    """`run_service` without leaving the interpreter: gives the exit code."""
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    try:
        bundle = _load_bundle(spec, environ)
    except AitradingError as exc:
        sys.stderr.write(f"{spec.name}: {exc}\n")
        return EXIT_CONFIG
    router = configure_logging(
        service=bundle.service, instance=bundle.instance, clock=clock, level="INFO"
    )
    try:
        process = _Process(spec, bundle, _load_config(spec, bundle, environ), router)
    except AitradingError as exc:
        log_problems(exc)
        return EXIT_CONFIG
    return uvloop.run(process.run(began_ns))


class _Process:
    """One running service; made only when bundle, settings and graph are right."""

    def __init__(
        self, spec: ServiceSpec, bundle: ServiceBundle, config: ConfigManager, router: LogRouter
    ) -> None:
        self._spec = spec
        self._bundle = bundle
        self._config = config
        self._settings = config.get(ServiceSettings)
        self._phase = ComponentState.NEW
        self._container = graph_of(spec, bundle, config).build()
        router.set_level(self._settings.log_level)
        config.subscribe(ServiceSettings, lambda new: router.set_level(new.log_level))

    async def run(self, began_ns: int) -> int:
        """Live until ordered to stop, or until something fails."""
        control = ServiceControl(self._bundle.control_fd)
        exit_code = EXIT_OK
        try:
            async with control, asyncio.TaskGroup() as group:
                life = group.create_task(self._live(control, began_ns))
                watcher = group.create_task(_end_when_ordered(control, life))
                life.add_done_callback(lambda _: watcher.cancel())
        except* Exception as failures:  # noqa: BLE001 - whatever it was: say it, and exit
            _log_failures(failures)
            exit_code = EXIT_FAILED
        else:
            _log.info("stopped: %s", control.reason)
        return exit_code

    async def _live(self, control: ServiceControl, began_ns: int) -> None:
        await control.wait_go()
        self._phase = ComponentState.STARTING
        async with self._container as container:
            parts = await container.get(AppParts)
            errors = await container.get(ErrorHandler)
            work = TaskSet("service", on_error=lambda _, exc: errors.classify(exc) and None)
            parts.health.probe("process", lambda: ComponentHealth(state=work.judged(self._phase)))
            gate = Gate(parts)
            servers = self._listeners(gate)
            try:
                await servers.start()
                parts.health.watch(servers)
                manager = await self._components(container, parts)
                reload = HotReload(
                    self._config,
                    self._bundle.tls.certificate,
                    renew_certificate=servers.renew_certificate,
                    on_error=errors.classify,
                )
                control.on_reload(reload.reload)
                parts.health.probe("reload", reload.health)
                async with manager, work:
                    work.keep(
                        partial(reload.watch, parts.clock), name="watch files", clock=parts.clock
                    )
                    await self._open(container, gate, parts)
                    _log.info("ready after %d ms", _since_ms(parts.clock, began_ns))
                    await self._stay(container, servers, control)
            finally:
                self._phase = ComponentState.STOPPING
                await servers.stop()

    async def _open(self, container: Container, gate: Gate, parts: AppParts) -> None:
        """Let requests in: every component works."""
        pages = await self._spec.pages(container) if self._spec.pages else ()
        owners = [await container.get(owner) for owner in self._spec.endpoints]
        gate.open(build_app(parts, endpoints_of(*owners), pages=pages))
        self._phase = ComponentState.HEALTHY

    async def _stay(
        self, container: Container, servers: HttpServers, control: ServiceControl
    ) -> None:
        """Be found by others until told to stop; then finish what was begun.

        The order is looked at besides the cancellation it brings: a library may have lost that.
        """
        hub = await container.get(CentralHub)
        parts = await container.get(AppParts)
        await hub.register(self._record(parts.clock, servers.port), state=parts.health.state)
        try:
            async with TaskSet("stay") as waiting:
                waits = servers.wait_ended(), control.wait_stop()
                tasks = [waiting.start(each, name="wait") for each in waits]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not control.reason:
                raise LISTENER_FAILED.error(
                    service=self._spec.name, address="its addresses", reason="a listener ended"
                )
        finally:
            self._phase = ComponentState.STOPPING
            await hub.deregister(self._bundle.service, self._bundle.instance)
            await servers.stop()

    async def _components(self, container: Container, parts: AppParts) -> LifecycleManager:
        components: list[Component] = []
        for kind in components_of(self._spec, self._bundle):
            component = cast("Component", await container.get(kind))
            parts.health.watch(component, critical=getattr(component, "critical", True))
            components.append(component)
        return LifecycleManager(components, stop_timeout_s=self._settings.component_stop_s)

    def _listeners(self, gate: Gate) -> HttpServers:
        return HttpServers(
            gate,
            self._bundle.listener,
            self._bundle.tls,
            service=self._spec.name,
            drain_s=self._settings.drain_s,
        )

    def _record(self, clock: Clock, port: int) -> ServiceRecord:
        return ServiceRecord(
            name=self._bundle.service,
            instance=self._bundle.instance,
            address=f"{self._bundle.listener.host}:{port}",
            version=self._bundle.version,
            state=self._phase,
            lease_until_ns=clock.now_ns(),
            started_ns=clock.now_ns(),
            routes=self._spec.routes(),
        )


async def _end_when_ordered(control: ServiceControl, life: "asyncio.Task[None]") -> None:
    await control.wait_stop()
    _log.info("stopping: %s", control.reason)
    life.cancel()


def _load_bundle(spec: ServiceSpec, environ: Mapping[str, str]) -> ServiceBundle:
    text = environ.get(BUNDLE_VARIABLE)
    if not text:
        raise BUNDLE_MISSING.error()
    path = Path(text)
    try:
        bundle = load_bundle(path)
    except OSError as exc:
        raise BUNDLE_UNREADABLE.error(path=text, reason=exc.strerror) from exc
    except msgspec.MsgspecError as exc:
        raise BUNDLE_UNREADABLE.error(path=text, reason=str(exc)) from exc
    if bundle.service != spec.name:
        raise BUNDLE_FOREIGN.error(path=text, owner=bundle.service, service=spec.name)
    return bundle


def _load_config(
    spec: ServiceSpec, bundle: ServiceBundle, environ: Mapping[str, str]
) -> ConfigManager:
    return ConfigManager.load(
        (*COMMON_SECTIONS, *spec.sections),
        toml_path=bundle.config_file,
        environ=dict(environ),
        overrides=bundle.settings,
        strict=False,
    )


def _log_failures(failures: BaseExceptionGroup[Exception]) -> None:
    for exc in failures.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            _log_failures(exc)
        elif isinstance(exc, AitradingError):
            _log.critical("%s", exc, error=exc)
        else:
            _log.critical("the service ends: %s", exc, exc_info=exc)


def _since_ms(clock: Clock, began_ns: int) -> int:
    return (clock.monotonic_ns() - began_ns) // NS_PER_MS
