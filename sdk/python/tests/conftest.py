"""What the tests share: both kinds of client over both protocols, and a real server where there is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocking import Blocking

from proximadb import ProximaDBClient, ProximaDBError

BIN = os.environ.get("PROXIMADB_BIN")
KINDS: dict[str, Callable[..., Any]] = {"sync": ProximaDBClient, "async": Blocking}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not BIN:
        terminalreporter.write_line(
            "PROXIMADB_BIN is not set: nothing was tried against a real server", red=True, bold=True
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A real server on a data directory and two ports that outlive it."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._directory = directory
        self.rest, self.grpc = (f"127.0.0.1:{_free_port()}" for _ in range(2))
        config = directory / "config.toml"
        config.write_text(f'[server]\nrest_listen = "{self.rest}"\ngrpc_listen = "{self.grpc}"\n')
        data = directory / "data"
        data.mkdir()
        self._command = [*binary.split(), "--config", str(config), "--data-dir", str(data)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        for address, protocol in ((self.rest, "rest"), (self.grpc, "grpc")):
            while True:
                try:
                    with ProximaDBClient(address, protocol=protocol, timeout=1) as client:
                        if client.health().ready:
                            break
                except ProximaDBError:
                    pass
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    text = (self._directory / "server.log").read_text(errors="replace")
                    pytest.fail(f"the server {'ended' if ended else 'is not ready'}: {text[-2000:]}")
                time.sleep(0.02)

    def kill(self) -> None:
        """Ends the process without a chance to say goodbye."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def address(self, protocol: str) -> str:
        return self.rest if protocol == "rest" else self.grpc


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not BIN:
        pytest.skip("PROXIMADB_BIN is not set")
    running = Server(BIN, tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(params=["rest", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(server: Server, protocol: str, kind: str) -> Iterator[Any]:
    with KINDS[kind](server.address(protocol), protocol=protocol) as made:
        yield made
