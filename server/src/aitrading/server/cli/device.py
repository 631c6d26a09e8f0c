"""`aitrading device`: invite, list and revoke installed clients."""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import click
import msgspec

from aitrading.core.security.device_reports import AVAILABILITY_WANTED, SecurityReport
from aitrading.server.cli.administration import tenant_option
from aitrading.server.cli.device_names import device_of, devices_of
from aitrading.server.cli.device_settings import device_settings
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table

SECONDS_PER_HOUR: Final = 3_600


class Invitation(msgspec.Struct, kw_only=True):
    """A device that may enrol once."""

    device: UUID
    code: str
    expires_at: datetime | None = None


@click.group()
def device() -> None:
    """Installed clients of an organisation."""


device.add_command(device_settings)


@device.command("invite")
@click.argument("name")
@tenant_option
@json_option
@home_option
def invite(*, name: str, tenant: str, as_json: bool, home: Path) -> None:
    """Print a one-time enrolment code for a new device called NAME."""
    made = Host(home).post("devices/invite", {"tenant": tenant, "name": name}, Invitation)
    if as_json:
        show_json(made)
        return
    click.echo(made.code)
    click.echo("On the device: aitrading-client enroll CODE --server URL", err=True)


@device.command("list")
@tenant_option
@json_option
@home_option
def list_devices(*, tenant: str, as_json: bool, home: Path) -> None:
    """List the devices of an organisation."""
    found = devices_of(Host(home), tenant)
    if as_json:
        show_json(found)
    else:
        show_table(("name", "device", "state"), [(d.name, d.device, d.state) for d in found])


@device.command("revoke")
@click.argument("name", metavar="DEVICE")
@tenant_option
@click.option("--reason", help="Why, for the record.")
@json_option
@home_option
def revoke(*, name: str, tenant: str, reason: str | None, as_json: bool, home: Path) -> None:
    """End the right to connect of DEVICE (name or id); its open link is closed at once."""
    host = Host(home)
    device_id = device_of(host, tenant, name)
    wanted = {"tenant": tenant, "device": str(device_id), "reason": reason}
    host.post("devices/revoke", wanted, msgspec.Raw)
    if as_json:
        show_json({"device": device_id, "state": "revoked"})
    else:
        click.echo(f"{device_id} is revoked.", err=True)


class Exposure(msgspec.Struct, kw_only=True):
    """Whether a device may open anything new."""

    barred: bool
    reason: str = ""


class DeviceSecurity(msgspec.Struct, kw_only=True):
    """What a device said last about the ground it stands on."""

    device: UUID
    reported_at: datetime
    exposure: Exposure
    report: SecurityReport


@device.command("security")
@tenant_option
@json_option
@home_option
def security(*, tenant: str, as_json: bool, home: Path) -> None:
    """What clients say of their files, debuggers and hardening, and who may open positions."""
    found = Host(home).get("devices/security", list[DeviceSecurity], tenant=tenant)
    if as_json:
        show_json(found)
        return
    show_table(
        (
            "device",
            "new exposure",
            "files",
            "debugger",
            "foreign code",
            "measures that hold",
            "reported",
        ),
        [
            (
                one.device,
                f"barred: {one.exposure.reason}" if one.exposure.barred else "allowed",
                one.report.files,
                one.report.debugger or "none",
                ", ".join(one.report.foreign) or "none",
                f"{one.report.holding} of {len(one.report.measures)}",
                one.reported_at,
            )
            for one in found
        ],
    )


@device.command("availability")
@tenant_option
@json_option
@home_option
def availability(*, tenant: str, as_json: bool, home: Path) -> None:
    """How much of each month terminals were up, as their clients measured it."""
    found = Host(home).get("devices/security", list[DeviceSecurity], tenant=tenant)
    if as_json:
        show_json({one.device: one.report.terminals for one in found})
        return
    show_table(
        ("device", "terminal", "month", "up %", "measured h", "wedged s", "away s", "failures"),
        [
            (
                one.device,
                each.terminal,
                each.month,
                "-" if each.share is None else f"{100 * each.share:.3f}",
                f"{each.measured_s / SECONDS_PER_HOUR:.1f}",
                f"{each.wedged_s:.0f}",
                f"{each.away_s:.0f}",
                each.failures,
            )
            for one in found
            for each in one.report.terminals
        ],
    )
    click.echo(f"Wanted: {100 * AVAILABILITY_WANTED:.1f} % of the measured time.", err=True)


@device.command("allow-exposure")
@click.argument("name", metavar="DEVICE")
@tenant_option
@click.option("--reason", required=True, help="What was found and done, for the record.")
@json_option
@home_option
def allow_exposure(*, name: str, tenant: str, reason: str, as_json: bool, home: Path) -> None:
    """Let DEVICE (name or id), which reported altered files, open positions again."""
    host = Host(home)
    device_id = device_of(host, tenant, name)
    wanted = {"tenant": tenant, "device": str(device_id), "reason": reason}
    host.post("devices/allow-exposure", wanted, msgspec.Raw)
    if as_json:
        show_json({"device": device_id, "new_exposure": "allowed"})
    else:
        click.echo(f"{device_id} may open positions again.", err=True)


@device.command("rotate-credentials")
@click.argument("name", metavar="DEVICE")
@tenant_option
@json_option
@home_option
def rotate_credentials(*, name: str, tenant: str, as_json: bool, home: Path) -> None:
    """Let DEVICE (name or id) seal its stored broker login anew, within the hour."""
    host = Host(home)
    device_id = device_of(host, tenant, name)
    wanted = {"tenant": tenant, "device": str(device_id)}
    host.post("devices/rotate-credentials", wanted, msgspec.Raw)
    if as_json:
        show_json({"device": device_id, "rotation": "wanted"})
    else:
        click.echo(f"{device_id} will seal its stored login anew.", err=True)
