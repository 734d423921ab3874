"""How channels behave and which methods they have, sync and async alike."""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory

from ..v1 import service_pb2

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


def methods(channel: Any) -> dict[str, Any]:
    """The service's methods of one request and one answer, by name.

    Unlike those of the generated stub they take a request's bytes too, which a bulk write has put together already.
    """
    service = service_pb2.DESCRIPTOR.services_by_name["ProximaDb"]
    return {
        method.name: channel.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=_serialize,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    }


def _serialize(request: Any) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()
