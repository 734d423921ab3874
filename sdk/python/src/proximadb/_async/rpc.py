"""Sends calls over gRPC and turns what goes wrong on the way into the errors of this package."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeVar

import grpc

from .._address import Address
from .._call import Call
from .._grpc.channel import OPTIONS, methods
from .._grpc.status import error_of_rpc

T = TypeVar("T")


class AsyncRpcLink:
    """A gRPC channel to one server."""

    def __init__(self, address: Address, api_key: str | None, ca_certificate: str | None) -> None:
        self._where = address.authority
        self._credentials: grpc.ChannelCredentials | None = None
        if address.tls:
            roots = Path(ca_certificate).read_bytes() if ca_certificate is not None else None
            self._credentials = grpc.ssl_channel_credentials(root_certificates=roots)
        self._metadata = () if api_key is None else (("authorization", f"Bearer {api_key}"),)
        self._lock = threading.Lock()
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    def _connected(self) -> dict[str, Any]:
        """The methods, over a channel that is made by the first call: an event loop's channel is bound to it when it is made."""
        with self._lock:
            if self._channel is None:
                if self._credentials is None:
                    self._channel = grpc.aio.insecure_channel(self._where, options=OPTIONS)
                else:
                    self._channel = grpc.aio.secure_channel(self._where, self._credentials, options=OPTIONS)
                self._methods = methods(self._channel)
            return self._methods

    async def send(self, call: Call[T], timeout: float | None) -> T:
        """The result of a call that may take `timeout` seconds."""
        method = self._connected()[call.request.method]
        try:
            answer = await method(call.request.message, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of_rpc(error, self._where) from error
        return call.read(answer)

    async def aclose(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close(None)
