"""Sends calls over HTTP and turns what goes wrong on the way into the errors of this package."""

from __future__ import annotations

import ssl
from typing import TypeVar

import httpx

from .._address import Address
from .._call import Call
from .._rest.problem import problem
from ..errors import ConnectionFailedError, DeadlineExceededError

T = TypeVar("T")


class AsyncHttpLink:
    """A pool of HTTP connections to one server."""

    def __init__(
        self,
        address: Address,
        api_key: str | None,
        ca_certificate: str | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        headers = {"accept": "application/json, application/problem+json"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        verify = ssl.create_default_context(cafile=ca_certificate) if address.tls else False
        self._http = httpx.AsyncClient(base_url=address.url, headers=headers, verify=verify, transport=transport)
        self._where = address.url

    async def send(self, call: Call[T], timeout: float | None) -> T:
        """The result of a call that may take `timeout` seconds."""
        request = call.request
        try:
            answer = await self._http.request(
                request.method, request.path, content=request.content, headers=dict(request.headers), timeout=timeout
            )
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ConnectionFailedError(f"no connection to {self._where} in time", retryable=True) from error
        except httpx.TimeoutException as error:
            raise DeadlineExceededError(f"no answer from {self._where} in time", retryable=True) from error
        except httpx.RequestError as error:
            raise ConnectionFailedError(f"{self._where} did not answer: {error}", retryable=True) from error
        if not answer.is_success and answer.status_code not in request.accept:
            raise problem(answer.status_code, answer.content, answer.headers.get("x-request-id"))
        return call.read(answer.content)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()
