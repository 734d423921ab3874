"""Where the server is and which protocol is spoken there, read from what a user writes. Opens no connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

REST_PORT = 5678
GRPC_PORT = 5679

Wire = Literal["rest", "grpc"]

# Scheme -> protocol, TLS, port where none is written. http and https keep the ports that every proxy expects of them.
_SCHEMES: dict[str, tuple[Wire, bool, int]] = {
    "http": ("rest", False, 80),
    "https": ("rest", True, 443),
    "grpc": ("grpc", False, GRPC_PORT),
    "grpcs": ("grpc", True, 443),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address. `host` is without brackets; `path` is the prefix of REST routes, `""` or starting with a slash."""

    wire: Wire
    host: str
    port: int
    tls: bool = False
    path: str = ""

    @classmethod
    def parse(cls, text: str, protocol: str | None = None) -> Address:
        """Reads `host`, `host:port`, or a URL with the scheme http, https, grpc or grpcs.

        Without a scheme the port decides: 5679 is gRPC, every other is REST. `protocol` overrules both.

        Raises ValueError for what is not an address.
        """
        if protocol not in (None, "rest", "grpc"):
            raise ValueError(f"protocol must be 'rest' or 'grpc', got {protocol!r}")
        scheme, found, _ = text.partition("://")
        if found and scheme.lower() not in _SCHEMES:
            raise ValueError(f"unknown scheme in {text!r}; known are {', '.join(_SCHEMES)}")
        try:
            parts = urlsplit(text if found else f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address: {error}") from None
        if not host or parts.query or parts.fragment or parts.username is not None or any(c.isspace() for c in text):
            raise ValueError(f"{text!r} is not an address; write host:port or http://host:port or grpc://host:port")
        wire: Wire
        if found:
            wire, tls, port_usual = _SCHEMES[scheme.lower()]
        else:
            wire, tls = ("grpc" if port == GRPC_PORT else "rest"), False
            port_usual = GRPC_PORT if protocol == "grpc" else REST_PORT
        if protocol is not None:
            wire = "grpc" if protocol == "grpc" else "rest"
        path = parts.path.rstrip("/")
        if path and wire == "grpc":
            raise ValueError(f"{text!r}: a gRPC address has no path")
        return cls(wire, host, port if port is not None else port_usual, tls, path)

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL of the REST routes."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"
