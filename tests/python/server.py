"""A real proximadb-server for a test: started on free ports with a configuration, spoken to over REST, killed."""

import json
import os
import subprocess
import urllib.error
import urllib.request


class Server:
    def __init__(self, folder, config):
        path = folder / "config.toml"
        path.write_text(config)
        environment = os.environ | {
            "PROXIMADB_SERVER__REST_LISTEN": "127.0.0.1:0",
            "PROXIMADB_SERVER__GRPC_LISTEN": "127.0.0.1:0",
            "PROXIMADB_LOG__FILTER": "warn",
        }
        command = [os.environ["PROXIMADB_BIN"], "--config", str(path), "--data-dir", str(folder / "data")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("REST on "):
                self.address = line.removeprefix("REST on ").split(",")[0]
                return
        raise AssertionError(f"the server ended: {self.lines}")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"content-type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
