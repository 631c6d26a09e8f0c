"""Checks of one home: who uses it, its configuration, data, keys and certificates."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from aitrading.core.kit.clock import NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import inspect_certificate
from aitrading.core.security.crypto_chains import read_chain
from aitrading.server.authority.site_certificates import warns_from_ns
from aitrading.server.engines.data_folder import check_data_folder
from aitrading.server.engines.nats import MAJOR as NATS_MAJOR
from aitrading.server.engines.postgres import MAJOR as POSTGRES_MAJOR
from aitrading.server.engines.valkey import MAJOR as VALKEY_MAJOR
from aitrading.server.supervisor.choices import load_configuration, port_requests
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.leftovers import read_children
from aitrading.server.supervisor.ports import resolve_ports
from aitrading.server.supervisor.scheduled_backups import require_possible
from aitrading.server.supervisor.settings import BackupSettings
from aitrading.server.supervisor.stores import given_servers

EXPIRES_SOON_S = 2 * 3600
_MAJORS = {"postgres": POSTGRES_MAJOR, "valkey": VALKEY_MAJOR, "nats": NATS_MAJOR}


def check_installation(home: Home, clock: Clock) -> Iterator[Finding]:
    """Everything the home itself tells."""
    if not home.root.exists():
        yield unverified("home", f"{home.root} does not exist yet; `aitrading up` makes it.")
    else:
        yield _usable(home)
        yield _keys(home)
        yield from _data(home)
        yield from _certificates(home, clock)
        yield from _site_certificate(home, clock)
    running = home.holder() is not None
    if not running:
        yield from _leftovers(home)
    yield from _configuration(home, running=running)


def _usable(home: Home) -> Finding:
    try:
        home.create()
    except AitradingError as exc:
        return wrong("home", exc)
    holder = home.holder()
    if holder is None:
        return fine("home", f"{home.root} is free.")
    return fine("home", f"{home.root} is used by process {holder.pid} since {holder.since}.")


def _keys(home: Home) -> Finding:
    if not home.keys.exists():
        return unverified("keys", "There are none yet; the first start makes them.")
    exposed = [path for path in (home.keys, *home.keys.rglob("*")) if _open_to_others(path)]
    if not exposed:
        return fine("keys", "Readable by their owner only.")
    return problem(
        "keys",
        f"{exposed[0]} can be read by others.",
        cause="Its mode was changed.",
        remedy=f"chmod -R go= {home.keys}; if others had access to this machine, make new keys.",
    )


def _open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077)


def _data(home: Home) -> Iterator[Finding]:
    for engine, major in _MAJORS.items():
        try:
            check_data_folder(home.root / engine, engine=engine, major=major)
        except AitradingError as exc:
            yield wrong(f"data of {engine}", exc)
        else:
            yield fine(f"data of {engine}", f"Of version {major}, or not there yet.")


def _certificates(home: Home, clock: Clock) -> Iterator[Finding]:
    paths = [
        *sorted(home.trust.glob("*-ca.pem")),
        *sorted(home.bundles.glob("*.crt.pem")),
        *sorted(home.envoy.rglob("*.crt.pem")),
        *sorted(home.demo_client.rglob("*.crt.pem")),
    ]
    if not paths:
        yield unverified("certificates", "There are none yet; the first start makes them.")
    for path in paths:
        yield _certificate(path, clock)


def _certificate(path: Path, clock: Clock) -> Finding:
    check = f"certificate {path.name}"
    try:
        validity = inspect_certificate(path.read_bytes()).validity
    except (AitradingError, OSError) as exc:
        return problem(
            check,
            f"{path} cannot be read: {exc}",
            cause="The file is damaged or belongs to another user.",
            remedy="Restart the platform; it issues its certificates anew.",
        )
    now_ns = clock.now_ns()
    end = rfc3339_of_ns(validity.not_after_ns)
    if (
        validity.not_before_ns <= now_ns
        and validity.not_after_ns - now_ns > EXPIRES_SOON_S * NS_PER_S
    ):
        return fine(check, f"Valid until {end}.")
    word = "expired" if validity.not_after_ns < now_ns else "is not valid now or expires soon"
    return problem(
        check,
        f"{path.name} {word}: {rfc3339_of_ns(validity.not_before_ns)} to {end}.",
        cause="The platform did not run to renew it, or the clock is wrong.",
        remedy="Correct the clock if it is wrong, then restart: `aitrading down`, `aitrading up`.",
    )


def _site_certificate(home: Home, clock: Clock) -> Iterator[Finding]:
    """The one of a public authority, which the platform cannot renew."""
    path = home.envoy / "site" / "site.pem"
    if not path.exists():
        return
    check = "certificate for browsers"
    try:
        validity = read_chain(path.read_bytes())[0].info.validity
    except (AitradingError, OSError) as exc:
        yield problem(
            check,
            f"{path} cannot be read: {exc}",
            cause="The file is damaged or belongs to another user.",
            remedy="Install it again: `aitrading certificate install`.",
        )
        return
    now_ns, end = clock.now_ns(), rfc3339_of_ns(validity.not_after_ns)
    if now_ns < warns_from_ns(validity):
        yield fine(check, f"Valid until {end}.")
        return
    word = "ends" if now_ns < validity.not_after_ns else "ended"
    yield problem(
        check,
        f"The certificate of a public authority {word} {end}.",
        cause="Nobody installed a renewed one, or the clock is wrong.",
        remedy="Renew it at its authority, then `aitrading certificate install`; or show the own "
        "one: `aitrading certificate remove`.",
    )


def _leftovers(home: Home) -> Iterator[Finding]:
    left = [record for record in read_children(home.children_file) if record.process.alive]
    if not left:
        yield fine("leftovers", "No process of an earlier start runs.")
    for record in left:
        yield problem(
            "leftovers",
            f"{record.name} (process {record.pid}) still runs without its supervisor.",
            cause="The supervisor was killed and this process has not ended yet.",
            remedy="`aitrading up` ends it before it starts; or end it with `kill`.",
        )


def _servers(backup: BackupSettings) -> Iterator[Finding]:
    try:
        servers = given_servers(os.environ)
        require_possible(backup, servers)
    except AitradingError as exc:
        yield wrong("servers by URL", exc)
        return
    for given in servers.values():
        yield unverified(
            "servers by URL", f"{given.target.shown} is used instead of the engine here."
        )


def _configuration(home: Home, *, running: bool) -> Iterator[Finding]:
    try:
        config = load_configuration(home, os.environ, {})
    except AitradingError as exc:
        yield wrong("configuration", exc)
        return
    yield fine("configuration", "Every setting of the platform is valid.")
    yield from _servers(config.get(BackupSettings))
    if running:
        return
    for request in port_requests(config, demo=True):
        try:
            resolve_ports([request])
        except AitradingError as exc:
            yield wrong(f"port {request.port}", exc)
        else:
            yield fine(f"port {request.port}", f"Free for {request.purpose}.")
