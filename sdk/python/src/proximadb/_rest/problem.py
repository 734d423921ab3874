"""Errors of REST: problem documents (RFC 9457), and what stands in for them when something in between answers."""

from __future__ import annotations

import json

from ..errors import ConnectionFailedError, InvalidArgumentError, ProximaDBError, error_of

_BY_STATUS = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "invalid_argument",
    408: "deadline_exceeded",
    409: "conflict",
    413: "invalid_argument",
    415: "invalid_argument",
    422: "invalid_argument",
    429: "exhausted",
    504: "deadline_exceeded",
    507: "exhausted",
}
# Answers of a proxy that say "not now".
_PASSING = frozenset((408, 429, 502, 503, 504))


def problem(status: int, content: bytes, request_id: str | None = None) -> ProximaDBError:
    """The error that an answer with a status other than 2xx stands for."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        field, request = body.get("field"), body.get("request_id", request_id)
        # Codes of their own that HTTP has for bad requests (a body too large, a method that is not there) are of that class.
        code, rule_broken = body["code"], status in (400, 405, 413, 415, 422)
        return error_of(
            code,
            str(body.get("detail") or body.get("title") or body["code"]),
            field=field if isinstance(field, str) else None,
            retryable=body.get("retryable") is True,
            request_id=request if isinstance(request, str) else None,
            otherwise=InvalidArgumentError if rule_broken else ProximaDBError,
        )
    text = content[:200].decode("utf-8", "replace").strip()
    message = f"HTTP status {status}" + (f": {text}" if text else "")
    if status in (502, 503):
        return ConnectionFailedError(message, retryable=True, request_id=request_id)
    return error_of(_BY_STATUS.get(status, "internal"), message, retryable=status in _PASSING, request_id=request_id)
