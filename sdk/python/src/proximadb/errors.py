"""The errors of the client: one class a code, so that callers catch what they can act on.

Knows no protocol: how an answer becomes an error is told by `_rest.problem` and `_grpc.status`.
"""

from __future__ import annotations


class ProximaDBError(Exception):
    """A request that failed.

    `code` says what went wrong, `field` which part of the request is to blame, `retryable` whether the very same request
    may succeed later, `request_id` what to look for in the server's log. `written` is set by bulk writes: the number of
    records, from the first on, that are stored although the call failed.
    """

    code: str = "unknown"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retryable: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.field = field
        self.retryable = retryable
        self.request_id = request_id
        self.written: int | None = None

    def __str__(self) -> str:
        about = [self.code]
        if self.field:
            about.append(f"field {self.field}")
        if self.request_id:
            about.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(about)})"


class InvalidArgumentError(ProximaDBError, ValueError):
    """The request breaks a rule; `field` names the place. Sending it again is useless."""

    code = "invalid_argument"


class NotFoundError(ProximaDBError):
    """The collection or the record that was named is not there."""

    code = "not_found"


class ConflictError(ProximaDBError):
    """It is there already, or is something else than was expected."""

    code = "conflict"


class FencedError(ProximaDBError):
    """Another writer has taken the shard over."""

    code = "fenced"


class ExhaustedError(ProximaDBError):
    """A limit is reached or a disk is full; later it may work."""

    code = "exhausted"


class DeadlineExceededError(ProximaDBError, TimeoutError):
    """The time that the server or this client was given is over. A write may have happened."""

    code = "deadline_exceeded"


class UnavailableError(ProximaDBError):
    """What the request needs cannot be reached now; later it may."""

    code = "unavailable"


class ConnectionFailedError(UnavailableError, ConnectionError):
    """The server did not answer: it cannot be reached, or went away in the middle. A write may have happened."""


class CorruptError(ProximaDBError):
    """Stored bytes are not what was written."""

    code = "corrupt"


class PluginFailedError(ProximaDBError):
    """A plugin that the request needs failed."""

    code = "plugin_failed"


class InternalError(ProximaDBError):
    """A bug of the server, or an answer that this client cannot read."""

    code = "internal"


_BY_CODE: dict[str, type[ProximaDBError]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        NotFoundError,
        ConflictError,
        FencedError,
        ExhaustedError,
        DeadlineExceededError,
        UnavailableError,
        CorruptError,
        PluginFailedError,
        InternalError,
    )
}


def error_of(
    code: str,
    message: str,
    *,
    field: str | None = None,
    retryable: bool = False,
    request_id: str | None = None,
    otherwise: type[ProximaDBError] = ProximaDBError,
) -> ProximaDBError:
    """The error for a code; of the class `otherwise` for a code that this client does not know."""
    kind = _BY_CODE.get(code, otherwise)
    return kind(message, code=code, field=field, retryable=retryable, request_id=request_id)
