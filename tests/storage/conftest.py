"""A storage service on this machine, and a proxy before it that fails on demand."""

import itertools
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fdsl_gen.store.client import client_for
from fdsl_gen.store.options import S3Options
from fdsl_gen.store.s3 import S3Store
from tests.storage.proxy import Proxy

SECRET = "zH7-the-secret-that-nobody-may-see"

_numbers = itertools.count()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def server():
    """The port of a moto server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not _answers(port):
        assert process.poll() is None and time.monotonic() < end, "moto did not start"
        time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """What boto3 finds in the environment; nothing of this machine."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")


@pytest.fixture
def proxy(server):
    """A proxy before the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def bucket(server, proxy) -> S3Store:
    """An empty prefix of a new bucket, reached through the proxy, with little patience."""
    name = f"bucket-{next(_numbers)}"
    direct = S3Options(endpoint_url=f"http://127.0.0.1:{server}")
    client_for(direct).create_bucket(Bucket=name)
    return S3Store(name, "sets/one", S3Options(endpoint_url=proxy.url, retries=3, timeout=5.0))


@pytest.fixture
def direct(bucket, server) -> S3Store:
    """The same prefix without the proxy."""
    return S3Store(
        bucket.bucket, bucket.prefix, S3Options(endpoint_url=f"http://127.0.0.1:{server}")
    )


@pytest.fixture
def hasty(bucket) -> S3Store:
    """The same prefix with hardly any patience."""
    return replace(bucket, options=replace(bucket.options, retries=1, timeout=0.3))
