#!/usr/bin/env python3
"""Starts emulators of bucket stores on loopback and runs a command against them.

    python emulators.py cargo nextest run -p proximadb-filesystem --test buckets

S3 is played by moto (pip install 'moto[server]' boto3). Azure is played by Azurite where `azurite-blob` is on the PATH
(npm install azurite). What is missing is said and left out. The command sees PROXIMADB_TEST_<KIND>_URL and
PROXIMADB_TEST_<KIND>_OPTIONS (`name=value`, separated by `;`). Afterwards the objects are counted at the emulator, not through
our own client: if there are none, something else was tested, and this fails. Nothing leaves the machine.

For Google no emulator that we know of honours create-only puts over the XML API that object_store speaks (one from PyPI answers
them with 501), so PROXIMADB_TEST_GCS_URL is for a real bucket.
"""

import base64
import hashlib
import hmac
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from email.utils import formatdate

BUCKET = "proximadb-test"
AZURE_ACCOUNT = "devstoreaccount1"
# The key that every Azurite has, from its documentation; it opens nothing else.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the emulator on port {port} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the emulator on port {port} did not start")


def start(command, port, **more):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    wait_for(port, process)
    return process


class S3:
    kind = "S3"
    missing = None if importlib.util.find_spec("moto") and importlib.util.find_spec("boto3") else "moto and boto3"

    def __init__(self, _scratch):
        self.port = free_port()
        self.process = start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], self.port)
        import boto3

        endpoint = f"http://127.0.0.1:{self.port}"
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.client.create_bucket(Bucket=BUCKET)
        self.url = f"s3://{BUCKET}/suite"
        self.options = f"endpoint={endpoint};region=us-east-1;access_key_id=test;secret_access_key=test;allow_http=true"

    def objects(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sum(page.get("KeyCount", 0) for page in pages)


class Adls:
    kind = "ADLS"
    missing = None if shutil.which("azurite-blob") else "azurite-blob"

    def __init__(self, scratch):
        self.port = free_port()
        command = ["azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", scratch, "--silent", "--skipApiVersionCheck"]
        self.process = start(command, self.port)
        self.endpoint = f"http://127.0.0.1:{self.port}/{AZURE_ACCOUNT}"
        self.request("PUT", "restype:container")
        self.url = f"adls://{BUCKET}/suite"
        self.options = f"account_name={AZURE_ACCOUNT};account_key={AZURE_KEY};endpoint={self.endpoint};allow_http=true"

    def request(self, method, *query):
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        signed = "\n".join(f"{k}:{v}" for k, v in sorted(headers.items()))
        resource = "\n".join([f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}", *sorted(query)])
        text = method + "\n" * 12 + signed + "\n" + resource
        digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
        url = f"{self.endpoint}/{BUCKET}?" + "&".join(q.replace(":", "=", 1) for q in query)
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def objects(self):
        return self.request("GET", "comp:list", "restype:container").count("<Name>")


def main(command):
    if not command:
        raise SystemExit(__doc__)
    environment, running = dict(os.environ), []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for emulator in (S3, Adls):
                if emulator.missing:
                    print(f"{emulator.kind}: SKIPPED, {emulator.missing} is not installed", flush=True)
                    continue
                one = emulator(scratch)
                running.append(one)
                environment[f"PROXIMADB_TEST_{one.kind}_URL"] = one.url
                environment[f"PROXIMADB_TEST_{one.kind}_OPTIONS"] = one.options
                print(f"{one.kind}: emulated on 127.0.0.1:{one.port}", flush=True)
            if not running:
                raise SystemExit("no emulator is installed, nothing was tested")
            status = subprocess.run(command, env=environment, check=False).returncode
            for one in running:
                count = one.objects()
                print(f"{one.kind}: {count} objects at the emulator afterwards", flush=True)
                if status == 0 and count == 0:
                    raise SystemExit(f"{one.kind}: the suite left nothing at the emulator, so it ran elsewhere")
            return status
        finally:
            for one in running:
                one.process.terminate()
                one.process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
