"""Scanners that others wrote look at every listener and must find what `security/tls.toml` says.

sslyze is installed by `make test` in an environment of its own. testssl.sh is a program to be fetched
by whoever runs this: `AITRADING_TESTSSL` names its folder, and it takes some minutes.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import SHUT_RDWR, create_connection, create_server, socket
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from harness.platform import Platform

from aitrading.server.policy import tls_policy
from aitrading.server.testing.postgres15 import postgres15_missing, running_postgres15

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SSLYZE: Final = Path(__file__).parents[2] / ".venv-sslyze" / "bin" / "sslyze"
TESTSSL: Final = os.environ.get("AITRADING_TESTSSL", "")
LISTEN: Final = "0A"
MUTUAL: Final = ("api-gateway", "data-bridge", "trading-engine", "database-service")
OLD: Final = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2")
COMMANDS: Final = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--compression",
    "--early_data",
    "--elliptic_curves",
    "--certinfo",
    "--resum",
]
IN_WORDS_OF_SSLYZE: Final = {"P-256": "secp256r1"}
"""It does not know the hybrid group; the edge's own tests speak that."""


@contextmanager
def without_greeting(port: int) -> Iterator[int]:
    """The bus speaks a line before TLS, which scanners do not know: here it is swallowed."""
    with create_server(("127.0.0.1", 0)) as front, ThreadPoolExecutor(32) as pool:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = front.accept()
                    other = create_connection(("127.0.0.1", port), timeout=10)
                    assert other.recv(65_536).startswith(b"INFO ")
                    pool.submit(carry, one, other)
                    pool.submit(carry, other, one)

        accepting = Thread(target=serve)
        accepting.start()
        try:
            yield front.getsockname()[1]
        finally:
            front.shutdown(SHUT_RDWR)
            accepting.join()


def carry(source: socket, target: socket) -> None:
    """Until one side is done."""
    with source:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(SHUT_RDWR)


def scan(folder: Path, ports: dict[str, int], sni: str, *more: str) -> dict[str, Any]:
    """What sslyze found, by the name of the listener."""
    if not SSLYZE.exists():
        pytest.skip(f"no {SSLYZE}: `scripts/test_tools.sh` installs it")
    out = folder / "found.json"
    targets = [f"127.0.0.1:{port}" for port in ports.values()]
    command = [str(SSLYZE), "--quiet", "--json_out", str(out), "--mozilla_config", "disable"]
    done = subprocess.run(
        [*command, "--sni", sni, *more, *COMMANDS, *targets],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert out.exists(), done.stderr
    by_port = {
        each["server_location"]["port"]: each
        for each in json.loads(out.read_text())["server_scan_results"]
    }
    return {name: by_port[port] for name, port in ports.items()}


def assert_as_reviewed(found: dict[str, Any], groups: set[str]) -> None:
    told = found["scan_result"]
    for version in OLD:
        assert told[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"] == []
    newest = told["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"]
    assert {each["cipher_suite"]["name"] for each in newest} == set(tls_policy().ciphers)
    assert not told["tls_compression"]["result"]["supports_compression"]
    curves = told["elliptic_curves"]["result"]["supported_curves"]
    assert {each["name"] for each in curves} == groups
    (chain,) = told["certificate_info"]["result"]["certificate_deployments"]
    leaf = chain["received_certificate_chain"][0]
    assert leaf["signature_algorithm_oid"]["name"] == "ecdsa-with-SHA256"
    assert leaf["public_key"]["ec_curve_name"] == "secp256r1"


def test_the_edge_as_sslyze_sees_it(platform: Platform, tmp_path: Path) -> None:
    port = urlsplit(platform.url).port
    assert port is not None
    groups = {IN_WORDS_OF_SSLYZE.get(name, name) for name in tls_policy().edge_groups}
    for sni, certificate in (("localhost", "DISABLED"), ("link.localhost", "REQUIRED")):
        found = scan(tmp_path, {"edge": port}, sni)["edge"]
        assert_as_reviewed(found, groups - {"X25519MLKEM768"})
        assert found["connectivity_result"]["client_auth_requirement"] == certificate
        early = found["scan_result"]["tls_1_3_early_data"]
        if certificate == "REQUIRED":  # nothing at all is taken from who shows none
            assert early["error_reason"] == "CLIENT_CERTIFICATE_NEEDED"
        else:
            assert not early["result"]["supports_early_data"]


def test_the_inside_as_sslyze_sees_it(platform: Platform, tmp_path: Path) -> None:
    told = platform.told()
    ports = {name: int(told["services"][name]["port"]) for name in MUTUAL}
    own = platform.home / "run" / "bundles" / "admin"
    shown = ("--cert", f"{own}.crt.pem", "--key", f"{own}.key.pem")
    with without_greeting(int(told["engines"]["nats"]["port"])) as bus:
        found = scan(tmp_path, {**ports, "nats": bus}, "localhost", *shown)
        strangers = scan(tmp_path, {**ports, "nats": bus}, "localhost")
    for name, each in found.items():
        assert_as_reviewed(each, {tls_policy().internal_group})
        assert not each["scan_result"]["tls_1_3_early_data"]["result"]["supports_early_data"]
        stranger = strangers[name]
        asked = (stranger["connectivity_result"] or {}).get("client_auth_requirement")
        assert stranger["connectivity_status"] == "ERROR" or asked == "REQUIRED", (name, asked)


def test_every_listener_of_the_platform_is_scanned(platform: Platform) -> None:
    """Whatever its processes listen on by TCP is a port that one of the tests above scans."""
    told = platform.told()
    ours = {platform.process.pid} | {
        int(one["pid"])
        for kind in ("services", "engines")
        for one in told[kind].values()
        if one.get("pid")
    }
    edge = urlsplit(platform.url).port
    scanned = {edge, int(told["engines"]["nats"]["port"])}
    scanned |= {int(told["services"][name]["port"]) for name in MUTUAL}
    clients = {int(one["pid"]) for one in told["clients"].values() if one.get("pid")}
    of_clients = {port for pid in clients for port in listening(pid)}
    assert {port for pid in ours for port in listening(pid)} - of_clients == scanned


def listening(pid: int) -> set[int]:
    """TCP ports that a process, or a child that no name is known of, listens on."""
    pids = [pid, *descendants(pid)]
    inodes = {inode for each in pids for inode in sockets(each)}
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    held: set[str] = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    held.add(target[len("socket:[") : -1])
    return held


def descendants(pid: int) -> list[int]:
    """Children, theirs, and so on, of one service or engine; the supervisor's are named."""
    children: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    return children + [each for child in children for each in descendants(child)]


def test_postgresql_as_sslyze_sees_it(tmp_path: Path) -> None:
    """Embedded it has a socket only; this one is a server by URL, as `postgres_tls` asks for it."""
    if missing := postgres15_missing():
        pytest.skip(missing)
    with running_postgres15() as server:
        found = scan(tmp_path, {"postgres": server.port}, "localhost", "--starttls", "postgres")
    told = found["postgres"]["scan_result"]
    for version in OLD:
        assert told[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"] == []
    newest = told["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"]
    assert {each["cipher_suite"]["name"] for each in newest} >= set(tls_policy().ciphers)
    assert not told["tls_compression"]["result"]["supports_compression"]


@pytest.mark.parametrize("name", ["localhost", "link.localhost"])
def test_the_edge_as_testssl_sees_it(platform: Platform, tmp_path: Path, name: str) -> None:
    if not TESTSSL:
        pytest.skip("set AITRADING_TESTSSL to the folder of testssl.sh, version 3.2 or later")
    resolver = tmp_path / "host"  # it wants one, also where nothing is to be resolved
    resolver.write_text('#!/bin/sh\necho "$1 has address 127.0.0.1"\n', encoding="ascii")
    resolver.chmod(0o700)
    out = tmp_path / "found.json"
    port = urlsplit(platform.url).port
    done = subprocess.run(
        [
            *("bash", f"{TESTSSL}/testssl.sh", "--quiet", "--color", "0", "--warnings", "batch"),
            *("--nodns", "none", "--ip", "127.0.0.1", "--sneaky", "--openssl", "/usr/bin/openssl"),
            *("-p", "--fs", "--server-defaults", "--jsonfile", str(out)),
            f"https://{name}:{port}",
        ],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=TESTSSL, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert out.exists(), done.stdout + done.stderr
    told = {each["id"]: each["finding"] for each in json.loads(out.read_text())}
    for version in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"):
        assert told[version] == "not offered"
    assert told["TLS1_3"].startswith("offered")
    assert set(told["FS_ciphers"].split()) == set(tls_policy().ciphers)
    assert told["FS_KEMs"] == "X25519MLKEM768"
    assert set(told["FS_ECDHE_curves"].split()) == {"prime256v1", "X25519"}
    assert told["early_data"].startswith("No early data")
    assert told["sessionresumption_ticket"] == "not supported"
    assert told["certificate_compression"] == "none"
    asks = told["clientAuth"] != "none"  # it guesses between `optional` and `required`
    assert asks == name.startswith("link.")
    assert told["cert_signatureAlgorithm"] == "ECDSA with SHA256"
