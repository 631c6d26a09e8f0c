"""`aitrading logs policy|tier|cost|lifecycle`: how long logs stay and what they cost."""

from pathlib import Path
from typing import Any

import click
import msgspec

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table

DATABASE = "database-service"
LOGS = "/internal/v1/logs"
TIERS = ("hot", "warm", "cold")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Policy(msgspec.Struct):
    """One level."""

    log_level: str
    retention_days: int
    storage_tier: str
    compression_algo: str
    compliance_required: bool
    legal_hold: bool
    cost_per_gb_month: str
    version: int


class Policies(msgspec.Struct):
    """Every level."""

    policies: list[Policy]


class Tier(msgspec.Struct):
    """One tier."""

    tier_name: str
    technology: str
    from_day: int
    max_query_latency_ms: int
    capacity_gb: int
    cost_per_gb_month: str
    is_active: bool
    version: int


class Tiers(msgspec.Struct):
    """Every tier, by age."""

    tiers: list[Tier]


class DayCost(msgspec.Struct):
    """One day's measurement."""

    date: str
    total_logs_gb: str
    hot_storage_cost: str
    warm_storage_cost: str
    cold_storage_cost: str
    total_monthly_cost: str
    savings_vs_uniform: str


class Costs(msgspec.Struct):
    """Newest day first."""

    costs: list[DayCost]


class Expired(msgspec.Struct):
    """A file that is over."""

    file: str
    size_bytes: int
    line_count: int
    newest_on: str


class Run(msgspec.Struct):
    """What a run of the job did."""

    dry_run: bool
    cost: DayCost
    expired: list[Expired]
    held: int


@click.group()
def policy() -> None:
    """How long each level of the platform's logs stays."""


@policy.command("show")
@json_option
@home_option
def show_policies(*, as_json: bool, home: Path) -> None:
    """Show the policy of every level."""
    _show_policies(
        Host(home).ask(DATABASE, f"{LOGS}/policies", Policies).policies, as_json=as_json
    )


@policy.command("set")
@click.argument("level", type=click.Choice(LEVELS))
@click.option("--retention-days", type=int, help="How many days lines stay.")
@click.option("--storage-tier", help="The last tier they reach: hot, warm or cold.")
@click.option(
    "--legal-hold/--no-legal-hold", default=None, help="Keep everything of this level, whatever."
)
@json_option
@home_option
def set_policy(*, level: str, as_json: bool, home: Path, **change: Any) -> None:
    """Change the policy of LEVEL; what is not given stays."""
    made = Host(home).tell(DATABASE, f"{LOGS}/policies/{level}", change, Policy)
    _show_policies([made], as_json=as_json)


@click.group()
def tier() -> None:
    """The tiers logs live in: prices and bounds."""


@tier.command("show")
@json_option
@home_option
def show_tiers(*, as_json: bool, home: Path) -> None:
    """Show every tier."""
    _show_tiers(Host(home).ask(DATABASE, f"{LOGS}/tiers", Tiers).tiers, as_json=as_json)


@tier.command("set")
@click.argument("name", type=click.Choice(TIERS))
@click.option("--cost-per-gb-month", help="What a gigabyte costs a month.")
@click.option("--max-query-latency-ms", type=int, help="How long a question to it may take.")
@click.option("--capacity-gb", type=int, help="How much it may hold.")
@json_option
@home_option
def set_tier(*, name: str, as_json: bool, home: Path, **change: Any) -> None:
    """Change the price and bounds of the tier NAME; what is not given stays.

    Costs measured from here on use the new price; days already measured keep theirs.
    """
    made = Host(home).tell(DATABASE, f"{LOGS}/tiers/{name}", change, Tier)
    _show_tiers([made], as_json=as_json)


@click.command()
@json_option
@home_option
def cost(*, as_json: bool, home: Path) -> None:
    """Show what the platform's logs cost a month, as measured day by day."""
    found = Host(home).ask(DATABASE, f"{LOGS}/costs", Costs).costs
    if as_json:
        show_json(found)
        return
    fields = DayCost.__struct_fields__
    show_table(fields, [[getattr(day, name) for name in fields] for day in found])


@click.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing; show what would be.")
@json_option
@home_option
def lifecycle(*, dry_run: bool, as_json: bool, home: Path) -> None:
    """Measure logs now and remove the rotated files that every policy gives up."""
    query = {"dry_run": "true" if dry_run else "false"}
    done = Host(home).tell(DATABASE, f"{LOGS}/lifecycle", {}, Run, **query)
    if as_json:
        show_json(done)
        return
    rows = [(e.file, e.size_bytes, e.line_count, e.newest_on) for e in done.expired]
    show_table(("file", "size_bytes", "line_count", "newest_on"), rows)
    word = "would be removed" if dry_run else "removed"
    click.echo(f"{len(rows)} files {word}, {done.held} under legal hold", err=True)


def _show_tiers(tiers: list[Tier], *, as_json: bool) -> None:
    if as_json:
        show_json(tiers)
        return
    fields = Tier.__struct_fields__
    show_table(fields, [[getattr(each, name) for name in fields] for each in tiers])


def _show_policies(policies: list[Policy], *, as_json: bool) -> None:
    if as_json:
        show_json(policies)
        return
    fields = Policy.__struct_fields__
    show_table(fields, [[getattr(each, name) for name in fields] for each in policies])
