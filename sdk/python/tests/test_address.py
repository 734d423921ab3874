"""Which protocol, host and port an address means."""

from __future__ import annotations

import pytest

from proximadb import AsyncProximaDBClient, ProximaDBClient
from proximadb._address import Address


@pytest.mark.parametrize(
    ("text", "protocol", "wire", "authority", "tls"),
    [
        ("localhost:5678", None, "rest", "localhost:5678", False),
        ("localhost:5679", None, "grpc", "localhost:5679", False),
        ("localhost:9000", None, "rest", "localhost:9000", False),
        ("localhost:9000", "grpc", "grpc", "localhost:9000", False),
        ("localhost:5679", "rest", "rest", "localhost:5679", False),
        ("localhost", None, "rest", "localhost:5678", False),
        ("localhost", "grpc", "grpc", "localhost:5679", False),
        ("http://db.example:80", None, "rest", "db.example:80", False),
        ("http://db.example", None, "rest", "db.example:80", False),
        ("https://db.example", None, "rest", "db.example:443", True),
        ("HTTPS://db.example:5679", None, "rest", "db.example:5679", True),
        ("grpc://db.example", None, "grpc", "db.example:5679", False),
        ("grpcs://db.example", None, "grpc", "db.example:443", True),
        ("grpc://db.example:5678", None, "grpc", "db.example:5678", False),
        ("https://db.example:5679", "grpc", "grpc", "db.example:5679", True),
        ("[::1]:5679", None, "grpc", "[::1]:5679", False),
        ("http://[::1]:5678/", None, "rest", "[::1]:5678", False),
    ],
)
def test_addresses(text: str, protocol: str | None, wire: str, authority: str, tls: bool) -> None:
    address = Address.parse(text, protocol)
    assert (address.wire, address.authority, address.tls) == (wire, authority, tls)


def test_a_prefix_of_the_routes_is_kept() -> None:
    assert Address.parse("https://gate.example/db/").url == "https://gate.example:443/db"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5678",
        "ftp://a",
        "localhost:x",
        "localhost:70000",
        "http://",
        "a b:1",
        "http://u:p@a",
        "http://a?b=1",
        "grpc://a/b",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="'rest' or 'grpc'"):
        ProximaDBClient("localhost:5678", protocol="http")


def test_clients_find_their_protocol() -> None:
    assert ProximaDBClient("localhost:5678").protocol == "rest"
    assert ProximaDBClient("localhost:5679").protocol == "grpc"
    assert AsyncProximaDBClient("localhost:5679").protocol == "grpc"
