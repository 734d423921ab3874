"""How channels behave, sync and async alike."""

from __future__ import annotations

# Answers are as large as what was asked for, so no limit on them is ours to set. After a restart of the server the next
# call should find it, not wait out the two minutes to which a channel's own pauses may grow.
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Repeating is decided by `RetryPolicy` alone.
    ("grpc.enable_retries", 0),
)
