"""When a failed request is sent again, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .errors import ProximaDBError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast to try again.

    At most `attempts` requests are sent for one call. The pause before attempt n + 1 is random between 0 and
    `delay_first * 2 ** (n - 1)` seconds, at most `delay_max`. Only errors that the server calls retryable, and only calls
    that may be repeated safely, are tried again: reads, and writes, which carry an idempotency key.
    """

    attempts: int = 4
    delay_first: float = 0.1
    delay_max: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.delay_first < 0 or self.delay_max < 0:
            raise ValueError("a retry policy needs at least one attempt and no negative delay")

    def pause(self, attempt: int, error: ProximaDBError, repeatable: bool) -> float | None:
        """Seconds to wait after the failed `attempt` (the first is 1), or None to give up."""
        if not (repeatable and error.retryable) or attempt >= self.attempts:
            return None
        return random.uniform(0.0, min(self.delay_max, self.delay_first * 2.0 ** (attempt - 1)))
