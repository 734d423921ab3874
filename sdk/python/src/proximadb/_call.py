"""One request, ready to be sent, and how its answer is read. Does no IO, so sync and async clients share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .errors import InternalError, ProximaDBError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request of one protocol.

    `repeatable` says that sending it twice has the effect of sending it once. `timeout` in seconds, where given, takes the
    place of the client's; `deadline_is_callers` says that the caller chose the server's deadline, so that running over it
    is an answer and no reason to try again.
    """

    request: Any
    decode: Callable[[Any], T]
    repeatable: bool
    timeout: float | None = None
    deadline_is_callers: bool = False

    def read(self, answer: Any) -> T:
        """The result in an answer. Raises InternalError for an answer that is not understood."""
        try:
            return self.decode(answer)
        except ProximaDBError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InternalError(f"the server's answer is not understood: {error!r}") from error
