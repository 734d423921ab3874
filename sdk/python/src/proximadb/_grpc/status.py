"""Errors of gRPC: the canonical status, and the ErrorInfo in its details.

Reads the two messages of google.rpc that it needs by hand: their layout is frozen, and a dependency for six fields is not
worth its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from ..errors import ConnectionFailedError, ProximaDBError, error_of

_DETAILS = "grpc-status-details-bin"
_ERROR_INFO = "google.rpc.ErrorInfo"

_BY_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_argument",
    grpc.StatusCode.OUT_OF_RANGE: "invalid_argument",
    grpc.StatusCode.NOT_FOUND: "not_found",
    grpc.StatusCode.ALREADY_EXISTS: "conflict",
    grpc.StatusCode.ABORTED: "conflict",
    grpc.StatusCode.FAILED_PRECONDITION: "conflict",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "exhausted",
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline_exceeded",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DATA_LOSS: "corrupt",
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "permission_denied",
    grpc.StatusCode.CANCELLED: "cancelled",
}


def error_of_rpc(error: Any, where: str) -> ProximaDBError:
    """The error that a failed call stands for; `where` is the server's address."""
    status = error.code()
    message = error.details() or str(status)
    info = _error_info(error.trailing_metadata() or ())
    if info is not None:
        reason, metadata = info
        return error_of(
            reason,
            message,
            field=metadata.get("field") or None,
            retryable=metadata.get("retryable") == "true",
            request_id=metadata.get("request_id") or None,
        )
    if status is grpc.StatusCode.UNAVAILABLE:
        # Without ErrorInfo it is the channel that speaks, not the server.
        return ConnectionFailedError(f"{where} did not answer: {message}", retryable=True)
    passing = status is grpc.StatusCode.DEADLINE_EXCEEDED
    return error_of(_BY_STATUS.get(status, "internal"), message, retryable=passing)


def _error_info(trailers: Any) -> tuple[str, dict[str, str]] | None:
    """Reason and metadata of the ErrorInfo in the trailers, where there is one that can be read."""
    for key, value in trailers:
        if key == _DETAILS and isinstance(value, bytes):
            try:
                return _find(value)
            except (IndexError, UnicodeDecodeError, ValueError):
                return None
    return None


def _find(status: bytes) -> tuple[str, dict[str, str]] | None:
    # google.rpc.Status { int32 code = 1; string message = 2; repeated Any details = 3 }
    for number, detail in _fields(status):
        if number != 3:
            continue
        # google.protobuf.Any { string type_url = 1; bytes value = 2 }
        parts = dict(_fields(detail))
        if parts.get(1, b"").decode().rpartition("/")[2] != _ERROR_INFO:
            continue
        # google.rpc.ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3 }
        reason, metadata = "", {}
        for place, value in _fields(parts.get(2, b"")):
            if place == 1:
                reason = value.decode()
            elif place == 3:
                entry = dict(_fields(value))
                metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        return reason, metadata
    return None


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each length-delimited field of a protobuf message; the others are passed over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 1:
            at += 8
        elif kind == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a field reaches beyond its message")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind == 5:
            at += 4
        else:
            raise ValueError(f"wire type {kind} is not in use")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
