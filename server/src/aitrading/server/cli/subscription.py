"""`aitrading subscription`: an organisation's plan, and what each person has of it."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from aitrading.server.cli.administration import show_answer
from aitrading.server.cli.errors import CLI_NAME_UNKNOWN
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import ANSWER_IS_NO, json_option, show_json, show_table

DATABASE = "database-service"
FIELDS = ("plan", "features", "state", "valid_from", "valid_to", "version")


class Subscription(msgspec.Struct):
    """What an organisation or a person is entitled to, as it is stored."""

    plan: str
    features: tuple[str, ...]
    state: str
    valid_from: datetime
    valid_to: datetime | None
    version: int


class Entitled(msgspec.Struct):
    """What a person is entitled to now."""

    state: str
    active: bool
    tier: str | None
    expires_at: datetime | None
    features: tuple[str, ...]
    version: int


class PersonSubscription(msgspec.Struct):
    """One person."""

    name: str
    subscription: Entitled


class Version(msgspec.Struct):
    """Where a change is stored."""

    version: int


class _Named(msgspec.Struct):
    id: str
    name: str


def _id_of(known: list[_Named], wanted: str, *, what: str) -> str:
    """The id that goes with a name or is it; raises `CLI_NAME_UNKNOWN`."""
    for each in known:
        if wanted in (each.name, each.id):
            return each.id
    raise CLI_NAME_UNKNOWN.error(what=what, name=wanted)


def _whose(command: Any) -> Any:
    tenant = click.option("--tenant", required=True, help="The organisation, by name or id.")
    user = click.option("--user", help="Only this person of it, within the organisation's plan.")
    return tenant(user(command))


@click.group()
def subscription() -> None:
    """What an organisation and its people are entitled to."""


@subscription.command("list")
@click.option("--tenant", required=True, help="The organisation, by name or id.")
@json_option
@home_option
def list_plans(*, tenant: str, as_json: bool, home: Path) -> None:
    """Show the plan of an organisation."""
    found = Host(home).get("subscriptions", list[Subscription], tenant=tenant)
    show_answer(found, as_json=as_json, fields=FIELDS)


@subscription.command("people")
@click.option("--tenant", required=True, help="The organisation, by name or id.")
@json_option
@home_option
def list_people(*, tenant: str, as_json: bool, home: Path) -> None:
    """Show what each person of an organisation is entitled to now."""
    found = Host(home).get("subscriptions/people", list[PersonSubscription], tenant=tenant)
    if as_json:
        show_json(found)
        return
    rows = [_row(each) for each in found]
    show_table(("name", "state", "tier", "features", "expires_at"), rows)


@subscription.command("show")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def show(*, person: str, as_json: bool, home: Path) -> None:
    """Show what a person is entitled to now, as services are told it; exit code 1 when nothing."""
    host = Host(home)
    name = host.person(person)
    tenant = _id_of(host.get("tenants", list[_Named]), name["tenant"], what="organisation")
    people = host.get("users", list[_Named], tenant=name["tenant"])
    user = _id_of(people, name["user"], what="person")
    found = host.ask(DATABASE, f"/internal/v1/subscriptions/{user}", Entitled, tenant=tenant)
    if as_json:
        show_json(found)
    else:
        row = _row(PersonSubscription(name=person, subscription=found))
        show_table(("name", "state", "tier", "features", "expires_at"), [row])
    click.get_current_context().exit(0 if found.active else ANSWER_IS_NO)


@subscription.command("set")
@click.argument("plan")
@_whose
@click.option("--feature", "features", multiple=True, help="A feature it includes; repeatable.")
@click.option(
    "--state",
    type=click.Choice(("active", "paused", "ended")),
    default="active",
    show_default=True,
    help="Whether it counts.",
)
@click.option("--valid-from", help="From when, RFC 3339 with zone; now by default.")
@click.option("--valid-to", help="The first moment that no longer counts; without end by default.")
@json_option
@home_option
def set_subscription(*, as_json: bool, home: Path, **wanted: Any) -> None:
    """Replace the subscription of an organisation, or of one person in it, by PLAN."""
    made = Host(home).post("subscriptions", wanted, Subscription)
    show_answer(made, as_json=as_json, fields=FIELDS)


@subscription.command("pause")
@_whose
@json_option
@home_option
def pause(*, as_json: bool, home: Path, **whose: Any) -> None:
    """Let a subscription not count until it is resumed."""
    _set_state(home, "paused", whose, as_json=as_json)


@subscription.command("resume")
@_whose
@json_option
@home_option
def resume(*, as_json: bool, home: Path, **whose: Any) -> None:
    """Let a paused or ended subscription count again."""
    _set_state(home, "active", whose, as_json=as_json)


@subscription.command("end")
@_whose
@json_option
@home_option
def end(*, as_json: bool, home: Path, **whose: Any) -> None:
    """End a subscription now; what was recorded stays readable."""
    _set_state(home, "ended", whose, as_json=as_json)


def _set_state(home: Path, state: str, whose: dict[str, Any], *, as_json: bool) -> None:
    made = Host(home).post("subscriptions/state", {**whose, "state": state}, Version)
    if as_json:
        show_json({"state": state, "version": made.version})
    else:
        click.echo(f"The subscription is {state} (version {made.version}).", err=True)


def _row(person: PersonSubscription) -> tuple[object, ...]:
    now = person.subscription
    ends = now.expires_at.strftime("%Y-%m-%d %H:%M") if now.expires_at else "never"
    features = ", ".join(now.features)
    return person.name, now.state, now.tier, features, ends
