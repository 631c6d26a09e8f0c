"""The command line of a host: `aitrading`. Data goes to stdout, everything else to stderr.

Exit codes: 0 done, 1 the answer is no, 2 usage, 3 unavailable.
"""

import importlib
import os
import sys
from typing import Any, Final

import click
from typing_extensions import override

from aitrading.server.cli.up_ends import INTERRUPTED, UNAVAILABLE

TRACEBACK_VARIABLE: Final = "AITRADING_TRACEBACK"
COMMANDS: Final = {
    "account": ("administration:account", "Broker accounts of an organisation."),
    "alerts": ("client_notes:alerts", "Alerts of installed clients about prices."),
    "apikey": ("apikey:apikey", "Keys of an organisation's programs."),
    "audit": ("audit:audit", "What was done and refused, by whom."),
    "backup": ("backup:backup", "Make, examine and list backups."),
    "bench": ("bench:bench", "Run one benchmark."),
    "ca": ("ca:ca", "The certificate authority: show, install."),
    "certificate": (
        "certificate:certificate",
        "A certificate of a public authority for browsers: install, show, remove.",
    ),
    "chains": ("chains:chains", "Latency and health of the ways data takes."),
    "config": ("config:config", "Settings: values, origins, reference."),
    "connections": ("connections:connections", "Who is connected; end a connection."),
    "device": ("device:device", "Installed clients: invite, list, set up, revoke."),
    "doctor": ("doctor:doctor", "Find what keeps the platform from working."),
    "down": ("down:down", "Stop the platform."),
    "errors": ("error_codes:errors", "What an error code means and what to do."),
    "factors": ("factors:factors", "Your second factors: set up, look at, remove."),
    "feed": ("feed:feed", "Quotes and the state of each feed."),
    "keys": ("keys:keys", "Master keys of personal data: list, rotate."),
    "kill": ("trading:kill", "Engage the kill switch of an organisation."),
    "login": ("login:login", "Log in on this machine."),
    "logout": ("login:logout", "End the login of this machine."),
    "login-rules": (
        "login_rules:login_rules",
        "From which networks your organisation logs in, and who needs a second factor.",
    ),
    "logs": ("logs:logs", "Logs of services and engines."),
    "metrics": ("metrics:metrics", "What metrics of services and engines were."),
    "migrations": (
        "migrations:migrations",
        "Schemas of PostgreSQL and ClickHouse: what is applied, what waits.",
    ),
    "news": ("client_notes:news", "News and economic calendar that clients collected."),
    "orders": ("trading:orders", "Orders of an organisation."),
    "password": ("own_password:password", "Change your own password."),
    "primary": ("primary:primary", "Which primary PostgreSQL is the newest one met."),
    "quarantine": ("quarantine:quarantine", "Segments that can never be stored: list, open."),
    "restore": ("backup:restore", "Make a home from a backup."),
    "service": ("service:service", "Services of your own: admit, dismiss, list."),
    "sessions": ("own_sessions:sessions", "Where you are logged in; end a login."),
    "status": ("status:status", "Show services and engines."),
    "store": ("store:store", "Records of the relational store, page by page."),
    "subscription": (
        "subscription:subscription",
        "What organisations and people are entitled to.",
    ),
    "tenant": ("administration:tenant", "Organisations."),
    "token": ("login:token", "A token of a person, for scripts on this host."),
    "trace": (
        "trace:trace",
        "What a request took, step by step; requests that failed or were slow.",
    ),
    "up": ("up:up", "Start engines and services and watch over them."),
    "usage": ("usage:usage", "What an organisation used, by day."),
    "user": ("administration:user", "People of an organisation."),
}
"""Name of a command: where it is, and one line about it; a module is imported when it is used."""


class _Commands(click.Group):
    """Imports a command when it is called, and says refusals without a traceback."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        except KeyboardInterrupt:
            if cmd_name != "up":
                raise
            click.echo(INTERRUPTED, err=True)
            ctx.exit(UNAVAILABLE)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    @override
    def main(self, *args: Any, **extra: Any) -> Any:
        """Run; a refusal becomes a message with a remedy, Ctrl-C a quiet end."""
        try:
            return super().main(*args, **extra)
        except Exception as exc:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            from aitrading.server.cli.output import end_with, refuse_odd_bytes  # noqa: PLC0415 - rare

            given = args[0] if args else extra.get("args") or sys.argv[1:]
            if isinstance(exc, UnicodeEncodeError):
                refuse_odd_bytes(given, as_json="--json" in given)
            end_with(exc, as_json="--json" in given)


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="aitrading-server")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run and operate an aitrading installation."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
