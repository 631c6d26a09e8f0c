"""Write `docs/reference` from the code: what is declared is documented, and nothing else.

With `--check` nothing is written; the exit code tells whether a document is stale. Everything is
found by importing the three packages and looking at module-level declarations.
"""

import dataclasses
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import click
import msgspec
from markdown_tables import table
from security_pages import asvs, client_hardening

import aitrading.client
import aitrading.core
import aitrading.server
from aitrading.core.infrastructure.call_sites import CallSite
from aitrading.core.infrastructure.config_reference import reference_markdown
from aitrading.core.infrastructure.event_bus import Event
from aitrading.core.infrastructure.metrics import Metric
from aitrading.core.kit.errors import ErrorSpec
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.openapi import (
    access_text,
    declared_endpoints,
    openapi_document,
    openapi_fragment,
)
from aitrading.server.kit.service_spec import ServiceSpec
from aitrading.server.personal_data.catalogue import CATALOGUE
from aitrading.server.supervisor.bundles import SERVICES
from aitrading.server.supervisor.settings import PortSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ERROR_CATALOGUE = ROOT / "server/src/aitrading/server/cli/error_codes.json"
DECLARED_ROUTES = ROOT / "server/src/aitrading/server/api_gateway/edge/declared_routes.json"
OPENAPI = ROOT / "server/src/aitrading/server/dashboard/openapi.json"
SKIPPED = {"aitrading.core.testing"}
NOTE = "<!-- Written by `make docs` from the code. Change the declaration, not this page. -->\n"


def modules() -> Iterator[ModuleType]:
    """Import every module of the three packages, except programs and fakes."""
    for package in (aitrading.core, aitrading.server, aitrading.client):
        yield package
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if found.name.endswith("__main__") or any(found.name.startswith(s) for s in SKIPPED):
                continue
            yield importlib.import_module(found.name)


MODULES = list(modules())


def declared(kind: type[Any]) -> dict[int, tuple[str, Any]]:
    """Module-level values of a type, once each, with the module that declares them."""
    found: dict[int, tuple[str, Any]] = {}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, kind):
                found.setdefault(id(value), (module.__name__, value))
    return found


def declared_classes(test: Callable[[type[Any]], bool]) -> list[type[Any]]:
    """Classes that satisfy a test, where they are defined."""
    found = {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and test(value)
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__qualname__))


def room_of(module: str) -> str:
    """`server/data_bridge` for `aitrading.server.data_bridge.ingest`."""
    return "/".join(module.split(".")[1:3])


def error_specs() -> list[tuple[str, ErrorSpec]]:
    """Every error, by code; a code declared twice is a mistake."""
    specs = sorted(declared(ErrorSpec).values(), key=lambda pair: pair[1].code)
    codes = [spec.code for _, spec in specs]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise SystemExit(f"error codes declared twice: {', '.join(twice)}")
    return specs


def error_codes() -> str:
    """One row per code."""
    rows = [
        (
            f"`{spec.code}`",
            str(spec.category),
            str(spec.http_status),
            str(spec.severity),
            str(spec.impact),
            room_of(module),
            spec.message,
        )
        for module, spec in error_specs()
    ]
    header = ("code", "category", "HTTP", "severity", "impact", "from", "what happened")
    return (
        "# Error codes\n\n`aitrading errors lookup CODE` says the same on the command line; causes and remedies "
        "are in [troubleshooting](../how-to/troubleshooting.md).\n\n" + table(header, rows)
    )


def troubleshooting() -> str:
    """What to do about each error, from the errors themselves."""
    parts = [
        "# Troubleshooting\n\nFind the code from the message. Start with `aitrading doctor`.\n"
    ]
    parts += [
        f"## {spec.code}\n\n**What happened.** {spec.message}\n\n**Why.** {spec.why}\n\n"
        f"**What to do.** {spec.remedy}\n"
        for _, spec in error_specs()
    ]
    return "\n".join(parts)


def metrics() -> str:
    """One row per metric."""
    found = sorted(declared(Metric).values(), key=lambda pair: pair[1].name)
    rows = [
        (
            f"`{metric.name}`",
            str(metric.kind),
            ", ".join(metric.labels) or "none",
            metric.help,
            room_of(module),
        )
        for module, metric in found
    ]
    return (
        "# Metrics\n\nEvery process answers `/metrics` in Prometheus text. Counters and histograms "
        "are followed by a gauge `…_created`: since when they count.\n\n"
        + table(("metric", "kind", "labels", "meaning", "from"), rows)
    )


def recovery() -> str:
    """One row per call site of a strategy or guard."""
    found = sorted(
        declared(CallSite).values(), key=lambda pair: (str(pair[1].strategy), pair[1].name)
    )
    rows = [
        (f"`{site.name}`", str(site.strategy), site.service, site.fault, site.description)
        for _, site in found
    ]
    return (
        "# Recovery\n\nEach place where the platform acts on a fault. The acts are counted in "
        "`aitrading_recovery_acts_total` and shown in `/health`.\n\n"
        + table(("call site", "strategy", "service", "fault", "what is done"), rows)
    )


def settings() -> str:
    """Every section of the configuration."""
    sections = declared_classes(
        lambda cls: (
            dataclasses.is_dataclass(cls) and isinstance(getattr(cls, "SECTION", None), str)
        )
    )
    bases = {base for cls in sections for base in cls.__mro__[1:]}
    sections = [cls for cls in sections if cls not in bases]  # a part that another completes
    return (
        "# Settings\n\nLayers, weakest first: default, `aitrading.toml`, environment, command line "
        "(`--set section.field=value`). `aitrading config explain section.field` tells where a value comes "
        "from.\n\n" + reference_markdown(sections)
    )


def events() -> str:
    """Every event and command on the bus with its fields."""
    parts = ["# Events and commands\n\nSubjects are `ait.<tenant or platform>.<name>`.\n"]
    for cls in declared_classes(lambda cls: issubclass(cls, Event) and cls is not Event):
        hints = get_type_hints(cls)
        rows = [
            (f"`{field.name}`", type_name(hints[field.name]), "no" if field.required else "yes")
            for field in msgspec.structs.fields(cls)
        ]
        durable = (
            "kept until every durable subscriber has it" if cls.DURABLE else "to those connected"
        )
        parts.append(
            f"## `{cls.NAME}` ({cls.__name__}, version {cls.VERSION})\n\n{first_line(cls)} Delivery: {durable}.\n\n"
            + table(("field", "type", "optional"), rows)
        )
    return "\n".join(parts)


def endpoints() -> str:
    """Every endpoint with who may call it."""
    rows = [
        (
            endpoint.method,
            f"`{endpoint.path}`",
            access_text(endpoint.access),
            endpoint.summary,
            room_of(module),
        )
        for module, endpoint in declared_endpoints(MODULES)
    ]
    return (
        "# Endpoints\n\nEvery service also answers `/health/live`, `/health/ready`, `/health` and `/metrics`. "
        "`/internal` exists on the mutual-TLS listener alone.\n\nTwo addresses are WebSockets and stand "
        "in no row: `/api/v1/stream` (scope read; quotes and feed states of your organisation, with the "
        "session's cookie or a bearer token) and `/link` on the name `link.HOST` (devices, by certificate; "
        "[formats](formats.md) has every byte).\n\n"
        + table(("method", "path", "who", "what", "from"), rows)
    )


def commands() -> str:
    """Every command with its options, as `--help` knows them."""
    from aitrading.client.cli import main as client  # noqa: PLC0415
    from aitrading.server.cli import main as server  # noqa: PLC0415

    parts = ["# Commands\n\nExit codes: 0 done, 1 the answer is no, 2 usage, 3 unavailable.\n"]
    for name, group in (("aitrading", server), ("aitrading-client", client)):
        parts += list(describe(group, click.Context(group, info_name=name)))
    return "\n".join(parts)


def describe(command: click.Command, context: click.Context) -> Iterator[str]:
    """Walk a command tree depth first."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from describe(child, click.Context(child, info_name=name, parent=context))
        if not command.invoke_without_command:
            return
    if not command.help:
        raise SystemExit(f"command without help: {context.command_path}")
    usage = " ".join(command.collect_usage_pieces(context))
    rows = [
        (f"`{' '.join(option.opts)}`", option.help or "")
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    silent = [name for name, text in rows if not text]
    if silent:
        raise SystemExit(f"{context.command_path}: options without help: {', '.join(silent)}")
    text = f"## `{context.command_path} {usage}`\n\n{command.help.strip()}\n"
    yield text + ("\n" + table(("option", "meaning"), rows) if rows else "")


def services() -> str:
    """Every service process: where it answers, what it waits for, what it may open."""
    ports = PortSettings()
    rows = [
        (
            f"`{needs.name}`",
            str(getattr(ports, needs.port_setting)),
            f"`ports.{needs.port_setting}`",
            ", ".join(needs.depends_on),
            ", ".join(needs.postgres_roles) or "none",
            first_line(importlib.import_module(needs.module)),
        )
        for needs in SERVICES
    ]
    gateway = GatewaySettings()
    return (
        "# Services\n\nPeople, programs and devices reach one port, "
        f"{gateway.port} (`gateway.port`), where the edge answers; the ports below demand a "
        "certificate of this installation.\n\n"
        + table(("service", "port", "setting", "waits for", "database roles", "what"), rows)
    )


TABLE = re.compile(
    r"((?:^--[^\n]*\n)*)^create table (?:if not exists )?([\w.]+)", re.MULTILINE | re.IGNORECASE
)
DROPPED = re.compile(r"^drop table (?:if exists )?([\w.]+)", re.MULTILINE | re.IGNORECASE)


def tables() -> str:
    """Every table of the migrations with the comment above it, but for those dropped later."""
    folder = ROOT / "server/src/aitrading/server/database_service/migrations"
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for path in sorted(folder.rglob("*.sql")):
        text, store = path.read_text(encoding="utf-8"), path.parent.name
        for comment, name in TABLE.findall(text):
            meaning = " ".join(line.removeprefix("--").strip() for line in comment.splitlines())
            if not meaning:
                raise SystemExit(f"{path.name}: table {name} has no comment above it")
            rows[name, store] = (f"`{name}`", store, path.stem, meaning)
        for name in DROPPED.findall(text):
            rows.pop((name, store), None)
    columns = ("table", "store", "since migration", "meaning")
    return "# Tables\n\n" + table(columns, sorted(rows.values()))


def personal_data() -> str:
    """Every column with personal data."""
    rows = [
        (
            f"`{each.table}.{each.column}_sealed`",
            each.holds,
            f"`{each.column}_index`, a keyed digest of {each.found_by}" if each.found_by else "-",
        )
        for each in CATALOGUE
    ]
    return (
        "# Personal data\n\nSealed columns, and by what a row is found without opening them. "
        "[How and why](../explanation/personal-data.md).\n\n"
        + table(("column", "holds", "found by"), sorted(rows))
    )


def audit_events() -> str:
    """Every action that is audited."""
    rows = [
        (f"`{action}`", "yes" if action.is_security else "when denied", action.meaning)
        for action in sorted(AuditAction)
    ]
    return (
        "# Audit events\n\nWhat is written to the audit trail, in the transaction of the change itself: "
        "`aitrading audit list`, `GET /api/v1/audit`. Security events alone: `aitrading audit security`, "
        "`GET /api/v1/security-events`. An event holds ids, never names or addresses.\n\n"
        + table(("type", "security event", "meaning"), rows)
    )


def type_name(hint: Any) -> str:
    """Render an annotation for people."""
    return f"`{hint.__name__ if isinstance(hint, type) else str(hint).replace('typing.', '')}`"


def first_line(cls: type[Any] | ModuleType) -> str:
    """The first sentence of a docstring."""
    return (cls.__doc__ or "").strip().splitlines()[0]


PAGES: dict[str, Callable[[], str]] = {
    "reference/error-codes.md": error_codes,
    "reference/metrics.md": metrics,
    "reference/recovery.md": recovery,
    "reference/settings.md": settings,
    "reference/events.md": events,
    "reference/endpoints.md": endpoints,
    "reference/commands.md": commands,
    "reference/services.md": services,
    "reference/tables.md": tables,
    "reference/personal-data.md": personal_data,
    "reference/audit-events.md": audit_events,
    "reference/client-hardening.md": client_hardening,
    "security/asvs.md": asvs,
    "how-to/troubleshooting.md": troubleshooting,
}


def openapi() -> str:
    """The document that /docs and /openapi.json show."""
    fragment = openapi_fragment([endpoint for _, endpoint in declared_endpoints(MODULES)])
    document = openapi_document([fragment], version=version("aitrading-server"))
    return msgspec.json.format(msgspec.json.encode(document, order="sorted")).decode() + "\n"


def declared_routes() -> str:
    """What the edge knows of each service before it registers."""
    routes = {spec.name: spec.routes() for _, spec in declared(ServiceSpec).values()}
    return msgspec.json.format(msgspec.json.encode(routes, order="sorted")).decode() + "\n"


def error_catalogue() -> str:
    """Every error for `aitrading errors lookup`, which imports nothing."""
    entries = [
        {
            "code": spec.code,
            "category": str(spec.category),
            "severity": str(spec.severity),
            "impact": str(spec.impact),
            "http_status": spec.http_status,
            "origin": room_of(module),
            "message": spec.message,
            "why": spec.why,
            "remedy": spec.remedy,
        }
        for module, spec in error_specs()
    ]
    return msgspec.json.format(msgspec.json.encode(entries)).decode() + "\n"


def contents() -> Iterator[tuple[str, Path, str]]:
    """Every generated file: its name, where it is, what belongs into it."""
    for name, make in PAGES.items():
        yield name, DOCS / name, NOTE + "\n" + make()
    yield "openapi.json", OPENAPI, openapi()
    yield "declared_routes.json", DECLARED_ROUTES, declared_routes()
    yield "error_codes.json", ERROR_CATALOGUE, error_catalogue()


def main() -> int:
    """Write or check every page."""
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for name, path, text in contents():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("stale: " if check else "written: ") + ", ".join(stale), file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
