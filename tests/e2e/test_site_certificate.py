"""A firm's certificate is shown to browsers, renewed and taken back; streams and devices go on."""

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.platform import BIN, Platform, wait_until
from harness.public_authority import DAY, Certified, PublicAuthority
from harness.streams import answers, open_stream

from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.server_api import ServerApi
from aitrading.client.security.trust import client_context
from aitrading.core.security.crypto import sha256
from aitrading.server.cli.web import Web

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NAME = "localhost"
AUTHORITY = PublicAuthority()
PAGE = Path(__file__).parents[2] / "docs/how-to/public-certificate.md"


@pytest.fixture
def undone(platform: Platform) -> Iterator[None]:
    yield
    platform.cli("certificate", "remove")


def browser(*protocols: str) -> ssl.SSLContext:
    """It knows the public authority and nobody else."""
    context = ssl.create_default_context(cadata=AUTHORITY.root.pem.decode())
    context.set_alpn_protocols(protocols or ("h2", "http/1.1"))
    return context


def device_files(platform: Platform) -> DeviceFiles:
    return DeviceFiles(platform.home / "clients" / "demo")


def shown(platform: Platform, context: ssl.SSLContext, name: str = NAME) -> bytes:
    """What a new connection under that name is shown; raises when the context does not trust it."""
    server = device_files(platform).load().server
    with (
        socket.create_connection((server.host, server.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def link(platform: Platform) -> ssl.SSLContext:
    """As the device opens its link: with its certificate, its authority and its pins."""
    files = device_files(platform)
    return client_context(files.record().trust, files.tls)


def install(platform: Platform, folder: Path, site: Certified) -> dict[str, Any]:
    chain, key = AUTHORITY.write(folder, site)
    told = platform.cli_json("certificate", "install", "--chain", str(chain), "--key", str(key))
    wait_until(lambda: shown(platform, browser()) == site.der, what="the certificate at the edge")
    assert told["names"] == [NAME]
    assert told["sha256"] == sha256(site.der).hex()
    return dict(told)


def linked_since(platform: Platform) -> list[str]:
    found = platform.cli_json("connections", "list", "--tenant", "demo")
    return [each["id"] for each in found if each["kind"] == "link"]


@pytest.mark.usefixtures("undone")
def test_it_is_shown_renewed_and_taken_back_and_nothing_is_cut(
    platform: Platform, tmp_path: Path
) -> None:
    own, token = shown(platform, platform.trust), platform.token()
    links = wait_until(lambda: linked_since(platform), what="the demo's link")
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(platform, browser())
    with open_stream(platform, token) as before:
        install(platform, tmp_path, AUTHORITY.site(NAME))
        with open_stream(platform, token, context=browser("http/1.1")) as by_it:
            install(platform, tmp_path, AUTHORITY.site(NAME, key="RSA-2048"))
            assert answers(before)
            assert answers(by_it)
            who_knows_the_own_authority_goes_on(platform, own)
            gone = platform.cli_json("certificate", "remove")
            wait_until(lambda: shown_to_all(platform) == own, what="the own one for everybody")
            assert answers(before)
            assert answers(by_it)
    assert linked_since(platform) == links, "the device's link was not touched"
    assert shown(platform, link(platform), f"link.{NAME}") == own
    assert not list((platform.home / "envoy" / "site").iterdir())
    assert not list((platform.home / "keys").glob("site-*"))
    told = platform.cli_json("audit", "security")["items"]
    assert {"edge.certificate.installed", "edge.certificate.removed"} <= {
        each["action"] for each in told
    }
    assert gone["names"] == [NAME]
    assert platform.cli_json("certificate", "show")["names"] == []


def who_knows_the_own_authority_goes_on(platform: Platform, own: bytes) -> None:
    """Under the same name: devices without their certificate, the command line, the edge's probe."""
    device = device_files(platform).load()
    ServerApi(device.server, device.trust).get("/health/live", dict[str, object])
    Web(platform.url, platform.home / "trust" / "edge-ca.pem").get("/health/live", dict)
    platform.cli_json("keys", "rotate-tokens")
    platform.forget_tokens()
    assert shown(platform, platform.trust) == own
    assert shown(platform, link(platform), f"link.{NAME}") == own


def shown_to_all(platform: Platform) -> bytes:
    """What somebody is shown who asks for nothing and believes everything."""
    context = browser()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return shown(platform, context)


@pytest.mark.usefixtures("undone")
def test_the_hook_of_the_page_installs_what_an_acme_client_renewed(
    platform: Platform, tmp_path: Path
) -> None:
    """As certbot runs it, but for the account and the place of the home."""
    hook = PAGE.read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    for there, here in (
        ("chown -R aitrading", f"chown -R {os.getuid()}"),
        ("runuser -u aitrading -- aitrading", str(BIN / "aitrading")),
        ("/srv/aitrading", str(platform.home)),
    ):
        assert there in hook
        hook = hook.replace(there, here)
    site = AUTHORITY.site(NAME)
    AUTHORITY.write(tmp_path, site)
    environment = {"RENEWED_LINEAGE": str(tmp_path), "PATH": os.defpath, "TMPDIR": str(tmp_path)}
    subprocess.run(["sh", "-c", hook], env=environment, check=True, capture_output=True)
    wait_until(lambda: shown(platform, browser()) == site.der, what="the renewed certificate")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fullchain.pem", "privkey.pem"]


@pytest.mark.usefixtures("undone")
def test_its_end_is_told_before_and_a_bad_one_changes_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    soon = AUTHORITY.site(NAME, begins=-5 * DAY, ends=DAY)
    install(platform, tmp_path, soon)
    chain, key = AUTHORITY.write(tmp_path, AUTHORITY.site(NAME), root=False)
    done = platform.cli(
        *("certificate", "install", "--chain", str(chain), "--key", str(key), "--json")
    )
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "SITE_CHAIN_BROKEN"
    assert shown(platform, browser()) == soon.der
    notes = [each["message"] for each in platform.status()["services"].values()]
    assert [note for note in notes if "aitrading certificate install" in note]
    doctor = json.loads(platform.cli("doctor", "--json").stdout)["findings"]
    assert [each["finding"] for each in doctor if each["check"] == "certificate for browsers"]
