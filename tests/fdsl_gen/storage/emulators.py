"""Storage services on this machine, and a proxy before them that fails on demand.

S3 is moto, Azure is azurite (from npm, where there is one). The emulators of Google's storage know
its JSON requests only and obstore sends the XML ones, which are those of S3 with other headers: a
proxy before moto exchanges these.
"""

import base64
import email.utils
import hashlib
import hmac
import http.client
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from tests import ROOT
from tests.fdsl_gen.storage.proxy import Proxy

SECRET = "zH7-the-secret-that-nobody-may-see"
# azurite's own account, known to everybody
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

_numbers = itertools.count()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(command: list[str]):
    """The port of a server in a process of its own; ``PORT`` in its command stands for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [str(port) if word == "PORT" else word for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 240
    while not _answers(port):
        assert process.poll() is None and time.monotonic() < end, f"{words[0]} did not start"
        time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def moto():
    """The port of a moto server."""
    yield from _serve([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "PORT"])


@pytest.fixture(scope="session")
def azurite():
    """The port of azurite, from the PATH or ``make azurite``."""
    ours = ROOT / ".venv/azurite/node_modules/.bin/azurite-blob"
    program = shutil.which("azurite-blob") or (str(ours) if ours.exists() else None)
    if program is None:
        pytest.skip("azurite is not installed (make azurite, which needs npm)")
    where = ["--blobHost", "127.0.0.1", "--blobPort", "PORT"]
    yield from _serve(
        [program, *where, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck"]
    )


@pytest.fixture
def cloud(request) -> str:
    """Which of s3, gs and az a test uses; parametrize it for others than s3."""
    return getattr(request, "param", "s3")


@pytest.fixture
def server(cloud, request) -> int:
    """The port of the service."""
    return request.getfixturevalue("azurite" if cloud == "az" else "moto")


@pytest.fixture
def credentials(monkeypatch):
    """What is found in the environment; nothing of this machine."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)


@pytest.fixture
def proxy(server, cloud):
    """A proxy before the server."""
    proxy = Proxy(server, cloud)
    yield proxy
    proxy.close()


def _make_container(port: int, name: str) -> None:
    date = email.utils.formatdate(usegmt=True)
    signed = (
        f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{name}"
    )
    key = base64.b64decode(ACCOUNT_KEY)
    digest = hmac.new(key, f"{signed}\nrestype:container".encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Content-Length": "0",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
    assert connection.getresponse().status == 201
    connection.close()


def address(cloud: str, url: str) -> str:
    """The endpoint of a service at an address."""
    return f"{url}/{ACCOUNT}" if cloud == "az" else url


@pytest.fixture
def bucket(cloud, server, proxy) -> ObjectStore:
    """An empty prefix of a new bucket, reached through the proxy, with little patience."""
    name = f"bucket-{next(_numbers)}"
    if cloud == "az":
        _make_container(server, name)
    else:
        import boto3  # here, because every run of tests has these fixtures

        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server}").create_bucket(Bucket=name)
    options = StorageOptions(endpoint_url=address(cloud, proxy.url), retries=3, timeout=5.0)
    return ObjectStore(cloud, name, "sets/one", options)


@pytest.fixture
def direct(bucket, cloud, server):
    """The same prefix past the proxy."""
    passing = Proxy(server, cloud)
    options = StorageOptions(endpoint_url=address(cloud, passing.url))
    yield replace(bucket, options=options)
    passing.close()


@pytest.fixture
def hasty(bucket) -> ObjectStore:
    """The same prefix with hardly any patience."""
    return replace(bucket, options=replace(bucket.options, retries=1, timeout=0.3))
