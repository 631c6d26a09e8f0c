"""Which database addresses and roles are acceptable."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import (
    RoleFacts,
    Store,
    accept_url,
    require_encryption,
    require_weak_role,
)


def refusal(store: Store, url: str) -> str:
    with pytest.raises(AitradingError) as caught:
        accept_url(store, url)
    return caught.value.code


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", ""])
def test_postgres_without_full_verification_is_refused(mode: str) -> None:
    url = f"postgresql://u:p@db.example.com/x?sslmode={mode}"
    assert refusal(Store.POSTGRES, url) == "DATABASE_PLAINTEXT_REFUSED"


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (Store.CLICKHOUSE, "http://127.0.0.1:8123"),
        (Store.CLICKHOUSE, "clickhouse://localhost"),
        (Store.CACHE, "redis://localhost:6379/0"),
        (Store.VECTORS, "http://weaviate"),
        (Store.GRAPH, "http://arango:8529"),
        (Store.BUS, "nats://localhost:4222"),
    ],
)
def test_plaintext_to_a_host_is_refused_even_on_loopback(store: Store, url: str) -> None:
    assert refusal(store, url) == "DATABASE_PLAINTEXT_REFUSED"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db.example.com",
        "postgresql://",
        "postgresql:///aitrading",
        "postgresql://a,b,c,d/x",
        "postgresql://a,a/x",
        "postgresql://a:5432,a/x",
        "postgresql://a,/x",
        "postgresql://a,b:70000/x",
        "postgresql://a,b/x?target_session_attrs=any",
        "postgresql://h:99999/x",
        "postgresql://h:x/x",
        "postgresql://[::1/x",
        "postgresql://h/x#f",
        "postgresql://h/x?host=/tmp",
        "postgresql://h/x?sslmode=verify-full&sslmode=disable",
        "postgresql://h/x\n?sslmode=disable",
        "mysql://h/x",
        "postgresql://h/" + "x" * 3_000,
    ],
)
def test_incomplete_or_tricky_addresses_are_refused(url: str) -> None:
    assert refusal(Store.POSTGRES, url) == "DATABASE_URL_MALFORMED"


def test_an_acceptable_url_is_taken_apart() -> None:
    target = accept_url(
        Store.POSTGRES, "postgresql://app%40x:p%2Fw@[::1]:6432/aitrading?sslrootcert=/etc/ca.pem"
    )
    assert (target.host, target.port, target.user) == ("::1", 6432, "app@x")
    assert target.password is not None
    assert target.password.reveal() == "p/w"
    assert (target.database, str(target.ca_file)) == ("aitrading", "/etc/ca.pem")
    assert "p/w" not in repr(target)
    assert target.shown == "PostgreSQL at [::1]:6432"


def test_a_primary_and_its_replicas_are_named_in_one_url() -> None:
    url = "postgresql://u:p@db1,[::1]:6432,db3:5433/x?target_session_attrs=read-write"
    target = accept_url(Store.POSTGRES, url)
    assert (target.host, target.port) == ("db1", 5432)
    assert target.others == (("::1", 6432), ("db3", 5433))
    assert target.shown == "PostgreSQL at db1:5432, [::1]:6432, db3:5433"
    assert refusal(Store.CACHE, "rediss://a,b/0") == "DATABASE_URL_MALFORMED"


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (Store.VECTORS, "https://weaviate.example.com"),
        (Store.GRAPH, "https://user@arango.example.com:8529/aitrading"),
    ],
)
def test_a_store_that_lets_strangers_in_is_refused(store: Store, url: str) -> None:
    assert refusal(store, url) == "DATABASE_URL_MALFORMED"


@given(st.text(max_size=60))
def test_no_text_makes_the_policy_stumble(rest: str) -> None:
    for store in Store:
        with contextlib.suppress(AitradingError):
            accept_url(store, f"https://{rest}")


def test_no_message_repeats_the_password() -> None:
    with pytest.raises(AitradingError) as caught:
        accept_url(Store.CACHE, "redis://user:hunter2@h/0")
    assert "hunter2" not in f"{caught.value} {caught.value.fields}"


def test_only_a_socket_goes_without_tls() -> None:
    require_encryption(Store.POSTGRES, host="/run/pg", tls=False)
    require_encryption(Store.POSTGRES, host="db", tls=True)
    with pytest.raises(AitradingError):
        require_encryption(Store.POSTGRES, host="127.0.0.1", tls=False)


@pytest.mark.parametrize(
    "power", ["superuser", "bypasses_row_security", "creates_roles", "owns_tables"]
)
def test_a_role_above_row_security_is_refused(power: str) -> None:
    facts = dict.fromkeys(
        ("superuser", "bypasses_row_security", "creates_roles", "owns_tables"), False
    )
    require_weak_role(RoleFacts(name="database", **facts))
    with pytest.raises(AitradingError) as caught:
        require_weak_role(RoleFacts(name="database", **(facts | {power: True})))
    assert caught.value.code == "DATABASE_ROLE_TOO_STRONG"
