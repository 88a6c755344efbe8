"""Objects are whole or not there; failures are retried, bounded, and told without secrets."""

import os
import pickle
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import boto3
import pytest

from fdsl_gen.core.errors import Mismatch, ShardsFailed, StorageError, UsageError
from fdsl_gen.storage import client, objects
from fdsl_gen.storage.base import Stat, Store
from fdsl_gen.storage.download import download_file, part_of
from fdsl_gen.storage.errors import ObjectExists, ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.threads import map_threads
from fdsl_gen.storage.url import ObjectUrl, is_remote, parse_hub, parse_url
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import (
    BUSY,
    CUT,
    FORBIDDEN,
    NO_CONDITIONS,
    PASS,
    PORTAL,
    RESET,
    SILENT,
    SLOW,
)

DATA = bytes(range(256)) * 4096  # 1 MiB
all_ranks = pytest.mark.parametrize("cloud", ["s3", "gs", "az"], indirect=True)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_urls():
    assert parse_url("s3://bucket/a//b/") == ObjectUrl("s3", "bucket", "a/b")
    assert parse_url("s3://bucket") == ObjectUrl("s3", "bucket", "")
    assert ObjectStore.at("s3://bucket/a/").url == "s3://bucket/a"
    assert parse_hub("hf://datasets/me/set-1") == "me/set-1"
    assert is_remote("s3://bucket/a")
    assert not is_remote("shards/one")
    assert not is_remote("C:\\shards")
    for text in ("hf://bucket/a", "pipe:cat x", "http://host/a", "s3:/bucket", "S3//x:y:"):
        if text.startswith("S3"):
            assert not is_remote(text)
        else:
            with pytest.raises(UsageError, match="is not a place"):
                is_remote(text)
    for text in ("s3://Bucket", "s3://", "s3://a"):
        with pytest.raises(UsageError, match="not the name of a bucket"):
            parse_url(text)
    with pytest.raises(UsageError, match="mean nothing"):
        parse_url("s3://bucket/a/../b")
    with pytest.raises(UsageError, match="hf://datasets/OWNER/NAME"):
        parse_hub("hf://models/me/x")


@pytest.mark.parametrize(
    "url", ["http://me:pass@host", "https://host/?key=pass", "ftp://host", "host:9000", "http://"]
)
def test_an_endpoint_holds_no_secret(url):
    with pytest.raises(UsageError, match="endpoint URL") as refused:
        StorageOptions(endpoint_url=url)
    assert "pass" not in str(refused.value)


@all_ranks
def test_objects(bucket):
    assert bucket.stat("a") is None
    bucket.write("a", b"one")
    bucket.write("a", b"two")
    assert bucket.read("a") == b"two"
    assert bucket.stat("a") == Stat(3, digest(b"two"))
    bucket.write("b/c", b"")
    assert bucket.read("b/c") == b""
    assert bucket.list() == {"a": 3, "b/c": 0}
    assert bucket.list("b") == {"b/c": 0}
    assert b"".join(bucket.stream("a", 1)) == b"wo"
    bucket.delete("a")
    bucket.delete("a")
    with pytest.raises(ObjectMissing, match="sets/one/a"):
        bucket.read("a")
    with pytest.raises(ObjectMissing, match="sets/one/a"):
        list(bucket.stream("a"))


@all_ranks
def test_a_version_is_the_same_in_a_listing(bucket):
    bucket.write("a", b"one")
    listed = bucket.list_versions()
    assert bucket.version("a") == listed["a"]
    bucket.write("a", b"two")
    assert bucket.version("a") != listed["a"]
    assert bucket.version("b") is None


@all_ranks
def test_a_new_object_replaces_nothing(bucket):
    bucket.put_new("a", b"one", digest(b"one"))
    bucket.put_new("a", b"one", digest(b"one"))
    with pytest.raises(ObjectExists):
        bucket.put_new("a", b"two", digest(b"two"))
    assert bucket.read("a") == b"one"


@all_ranks
def test_of_two_that_saw_nothing_the_second_is_refused(bucket, proxy, direct):
    def rule(method, path, before):
        if method == "PUT":
            direct.write("a", b"one")  # after the look, before the request
        return PASS

    proxy.rule = rule
    with pytest.raises(ObjectExists):
        bucket.put_new("a", b"two", digest(b"two"))
    assert direct.read("a") == b"one"


def test_without_conditional_requests_a_look_comes_first(bucket, proxy):
    conditional = []

    def rule(method, path, before):
        refused = "If-None-Match" in proxy.headers[-1]
        conditional.append(refused)
        return NO_CONDITIONS if refused else PASS

    proxy.rule = rule
    bucket.put_new("a", b"one", digest(b"one"))
    assert any(conditional)
    assert bucket.read("a") == b"one"
    with pytest.raises(ObjectExists):
        bucket.put_new("a", b"two", digest(b"two"))


@all_ranks
@pytest.mark.parametrize("fault", [BUSY, RESET, SLOW])
def test_a_request_that_fails_once_is_repeated(bucket, proxy, fault):
    proxy.rule = lambda method, path, before: PASS if before else fault
    bucket.write("a", DATA)
    assert bucket.read("a") == DATA
    assert proxy.count("PUT", "/a") == proxy.count("GET", "/a") == (1 if fault == SLOW else 2)


@all_ranks
@pytest.mark.parametrize("fault", [BUSY, RESET, CUT])
def test_a_listing_that_fails_once_is_repeated(bucket, proxy, direct, fault):
    direct.write("a", DATA)
    proxy.rule = lambda method, path, before: PASS if before else fault
    assert bucket.list() == {"a": len(DATA)}


@all_ranks
@pytest.mark.parametrize("fault", [RESET, SILENT])
def test_a_write_whose_answer_was_lost_counts_as_written(bucket, proxy, direct, fault):
    def rule(method, path, before):
        if method == "PUT" and not before:
            direct.write("a", b"one")  # as if this very request had been heard
            return fault
        return PASS

    proxy.rule = rule
    impatient = ObjectStore(
        bucket.scheme,
        bucket.bucket,
        bucket.prefix,
        StorageOptions(endpoint_url=bucket.options.endpoint_url, retries=2, timeout=0.5),
    )
    impatient.put_new("a", b"one", digest(b"one"))
    assert proxy.count("PUT", "/a") == 2


@all_ranks
def test_a_cut_answer_is_continued(bucket, proxy, direct):
    direct.write("a", DATA)
    proxy.rule = lambda method, path, before: CUT if before < 3 else PASS
    assert b"".join(bucket.stream("a")) == DATA
    ranges = [h.get("Range") for h in proxy.headers]
    assert ranges[0] is None
    assert all(later.startswith("bytes=") for later in ranges[1:])
    assert len(ranges) == 4


def test_an_answer_that_breaks_off_often_goes_on_as_long_as_something_comes(bucket, proxy, direct):
    direct.write("a", DATA)
    proxy.rule = lambda method, path, before: CUT if before < 9 else PASS  # of 4 attempts
    assert b"".join(bucket.stream("a")) == DATA


@all_ranks
def test_an_answer_that_always_breaks_off_is_given_up(bucket, proxy, direct):
    direct.write("a", b"x")  # its first half is nothing: no progress
    proxy.rule = lambda method, path, before: CUT
    with pytest.raises(StorageError, match=r"broke off 4 times at byte 0 of 1; run the same"):
        bucket.read("a")
    assert proxy.count("GET", "/a") == 4


@all_ranks
def test_another_object_in_its_place_is_not_mixed_in(bucket, proxy, direct):
    direct.write("a", DATA)

    def rule(method, path, before):
        if before == 0:
            return CUT
        direct.write("a", DATA[::-1])
        return PASS

    proxy.rule = rule
    with pytest.raises(Mismatch, match="replaced while it was read"):
        b"".join(bucket.stream("a"))


@all_ranks
def test_silence_is_told_after_bounded_retries(hasty, proxy):
    proxy.rule = lambda method, path, before: SILENT
    with pytest.raises(StorageError, match=r"127.0.0.1:\d+ does not answer .*tried 2 times"):
        hasty.stat("a")
    assert proxy.count("HEAD") == 2
    with pytest.raises(StorageError, match=r"127.0.0.1:\d+ does not answer .*tried 2 times"):
        hasty.write("a", b"")
    with pytest.raises(StorageError, match=r"127.0.0.1:\d+ does not answer .*tried 2 times"):
        hasty.list()


@all_ranks
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (BUSY, StorageError, r"failed 2 times \(503 SlowDown\) at .*run the same command again"),
        (FORBIDDEN, UsageError, r"was refused \(AccessDenied\); check the credentials"),
        (PORTAL, StorageError, "no answer of object storage"),
    ],
)
@pytest.mark.usefixtures("cheaply")
def test_lasting_faults_are_sentences_everywhere(hasty, proxy, direct, fault, error, words):
    """A page to log in, with status 200, is never an empty listing or a file."""
    direct.write("a", b"one")
    proxy.rule = lambda method, path, before: fault
    for ask in (lambda: hasty.read("a"), hasty.list, lambda: list(hasty.stream("a"))):
        with pytest.raises(error, match=words) as told:
            ask()
        assert SECRET not in str(told.value)
    with pytest.raises(error, match=words.replace(" SlowDown", "").replace("AccessDenied", "403")):
        hasty.stat("a")  # whose answer has no body
    if fault != PORTAL:
        with pytest.raises(error, match=words):
            hasty.write("a", b"two")


@pytest.mark.usefixtures("cheaply")
def test_a_small_object_is_compared_with_its_sha256(bucket, server):
    client_of_moto = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server}")
    put = {"Bucket": bucket.bucket, "Key": "sets/one/a", "Body": b"two"}
    client_of_moto.put_object(**put, Metadata={"sha256": digest(b"one")})
    with pytest.raises(Mismatch, match="sets/one/a is damaged: its sha256"):
        bucket.read("a")
    client_of_moto.put_object(**put)  # sent by another program
    assert bucket.read("a") == b"two"


@pytest.mark.usefixtures("cheaply")
def test_a_small_object_that_is_large_is_not_read(bucket, direct, tmp_path):
    direct.write("a", DATA)
    for store in (bucket, LocalStore(tmp_path)):
        store.write("a", DATA)
        assert store.read("a", len(DATA)) == DATA
        with pytest.raises(
            UsageError, match=r"cannot read .*/a: it is larger than 1,048,575 bytes"
        ):
            store.read("a", len(DATA) - 1)


@pytest.mark.usefixtures("cheaply")
def test_no_more_is_taken_than_was_promised(bucket, monkeypatch):
    class TooMuch:
        meta: ClassVar = {"size": 10, "e_tag": None}

        def stream(self, **_):
            yield from [bytes(8)] * 1_000

    taken = bucket._pieces("a", TooMuch(), 0)
    assert next(taken) == bytes(8)
    with pytest.raises(StorageError, match="something that is no answer of object storage"):
        next(taken)


@pytest.mark.usefixtures("cheaply")
def test_names_of_others_are_a_sentence(bucket, server):
    client_of_moto = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server}")
    for key in ("sets/one/", "sets/one/b c", "sets/one/é%"):
        client_of_moto.put_object(Bucket=bucket.bucket, Key=key, Body=b"x")
    assert bucket.list() == {"b c": 1, "é%": 1}
    client_of_moto.put_object(Bucket=bucket.bucket, Key="sets/one/a//b", Body=b"x")
    with pytest.raises(UsageError, match="whose name fdsl-gen does not understand"):
        bucket.list()


def test_an_address_where_nobody_is():
    options = StorageOptions(endpoint_url="http://127.0.0.1:9", retries=0)
    with pytest.raises(StorageError, match=r"http://127.0.0.1:9 does not answer"):
        ObjectStore("s3", "bucket", "", options).write("a", b"")


@all_ranks
def test_large_files_go_in_parts(bucket, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "_PARTS_FROM", 6 << 20)
    monkeypatch.setattr(objects, "_PART", 5 << 20)
    path = tmp_path / "a"
    path.write_bytes(DATA * 12)
    proxy.rule = lambda method, path, before: BUSY if method == "PUT" and not before else PASS
    bucket.upload("a", path, digest(DATA * 12))
    assert bucket.stat("a") == Stat(12 << 20, digest(DATA * 12))
    assert proxy.count("PUT") >= 4
    assert digest(b"".join(bucket.stream("a"))) == digest(DATA * 12)


def test_a_large_body_is_given_time(bucket):
    """No answer begins before the body is sent; a slow line is no silent service."""
    asked = []
    real = objects.client_for

    def noting(place, options):
        asked.append(options.timeout)
        return real(place, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "client_for", noting)
        bucket._client(1000)
        bucket._client(128 << 20)
    assert asked[0] == 5.0
    assert asked[1] > 128 * 4


@all_ranks
def test_a_file_arrives_whole_and_goes_on_where_it_was(bucket, proxy, tmp_path):
    bucket.write("a", DATA)
    path = tmp_path / "a"
    part_of(path, len(DATA)).write_bytes(DATA[:700_000])
    download_file(bucket, "a", path, len(DATA), digest(DATA))
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert proxy.headers[-1]["Range"] == "bytes=700000-"
    download_file(bucket, "a", path, len(DATA), digest(DATA))
    assert proxy.count("GET", "/a") == 1


def test_a_part_of_something_else_is_thrown_away(bucket, tmp_path):
    bucket.write("a", DATA)
    path = tmp_path / "a"
    part_of(path, len(DATA)).write_bytes(b"z" * 5000)
    download_file(bucket, "a", path, len(DATA), digest(DATA))
    assert path.read_bytes() == DATA


def test_a_file_is_on_the_disk_before_it_has_its_name(bucket, tmp_path, monkeypatch):
    bucket.write("a", DATA)
    path, flushed = tmp_path / "a", []

    def fsync(handle, real=os.fsync):
        flushed.append((os.fstat(handle).st_ino, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    download_file(bucket, "a", path, len(DATA), digest(DATA))
    assert (path.stat().st_ino, False) in flushed
    assert (tmp_path.stat().st_ino, True) in flushed, "the folder, with the new name in it"


@pytest.mark.parametrize(
    ("size", "words"), [(len(DATA), "its sha256 is not"), (7, "has 1,048,576 bytes instead of 7")]
)
def test_what_is_not_expected_does_not_arrive(bucket, tmp_path, size, words):
    bucket.write("a", DATA)
    with pytest.raises(Mismatch, match=words):
        download_file(bucket, "a", tmp_path / "a", size, digest(b"other"))
    with pytest.raises(ObjectMissing):
        download_file(bucket, "b", tmp_path / "b", 7, digest(b"other"))
    assert list(tmp_path.iterdir()) == []


@all_ranks
def test_pickles_hold_no_secret(bucket):
    bucket.write("a", b"one")
    pickled = pickle.dumps(bucket)
    assert SECRET.encode() not in pickled
    assert b"an-access-key" not in pickled
    assert pickle.loads(pickled).read("a") == b"one"
    assert SECRET not in repr(bucket)


def test_a_forked_process_is_told_rather_than_hanging(bucket):
    bucket.write("a", b"one")
    child = os.fork()
    if child == 0:
        told = b""
        try:
            bucket.read("a")
        except UsageError as error:
            told = str(error).encode()
        os._exit(0 if b"start processes by spawn or forkserver" in told else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bucket.read("a") == b"one"


PROFILE = """
[profile one]
region = eu-west-1
endpoint_url = {url}
aws_access_key_id = of-the-profile
aws_secret_access_key = also-secret
"""


def test_a_profile_of_the_aws_files_is_used(bucket, proxy, tmp_path, monkeypatch):
    bucket.write("a", b"one")
    config = tmp_path / "config"
    config.write_text(PROFILE.format(url=proxy.url))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "one")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    found = ObjectStore("s3", bucket.bucket, bucket.prefix, StorageOptions(retries=1))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert found.read("a") == b"one"
    signed = proxy.headers[-1]["Authorization"]
    assert "Credential=of-the-profile/" in signed
    assert "/eu-west-1/s3/" in signed


def test_what_the_environment_says_of_azure(monkeypatch):
    said = "BlobEndpoint=http://127.0.0.1:9/me;AccountName=me;AccountKey=aGVsbG8="
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
    found = client.client_for(ObjectUrl("az", "container", ""), StorageOptions(retries=7))
    assert found.endpoint == "http://127.0.0.1:9"
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(UsageError, match="no storage account for az://"):
        client.client_for(ObjectUrl("az", "container", ""), StorageOptions(retries=8))


def test_a_folder_keeps_the_same_promises(tmp_path):
    store: Store = LocalStore(tmp_path / "folder")
    assert store.stat("a") is None
    with pytest.raises(ObjectMissing, match="folder/a is missing"):
        store.read("a")
    store.write("a", b"one")
    store.put_new("b/c", b"two", digest(b"two"))
    store.put_new("b/c", b"two", digest(b"two"))
    with pytest.raises(ObjectExists):
        store.put_new("b/c", b"other", digest(b"other"))
    assert store.write_new("d", iter([b"th", b"ree"]), tmp_path) == (digest(b"three"), 5)
    with pytest.raises(ObjectExists):
        store.write_new("d", [b"other"], tmp_path)
    assert store.top_names() == ["a", "b", "d"]
    store.delete("d")
    store.upload("a", tmp_path / "folder/b/c", digest(b"two"))
    assert store.list() == {"a": 3, "b/c": 3}
    assert store.list("b") == {"b/c": 3}
    assert b"".join(store.stream("a", 1)) == b"wo"
    with pytest.raises(Mismatch, match="has 3 bytes instead of 4"):
        list(store.stream("a", size=4))
    with store.local_copy("a", tmp_path) as path:
        assert path.read_bytes() == b"two"
    download_file(store, "a", tmp_path / "copy", 3, digest(b"two"))
    store.delete("a")
    store.delete("a")
    with pytest.raises(ObjectMissing), store.local_copy("a", tmp_path):
        pass


def test_what_is_no_file_is_not_taken_for_one(tmp_path):
    store = LocalStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert store.stat(name) is None
        with pytest.raises(UsageError, match=f"{name}: it is not a regular file"):
            store.read(name)
        with (
            pytest.raises(UsageError, match="not a regular file"),
            store.local_copy(name, tmp_path),
        ):
            pass
    with pytest.raises(ObjectMissing):
        store.read("none/below")
    with pytest.raises(ShardsFailed, match=r"folder: .*directory"):
        store.upload("folder", Path(__file__), "")


def test_a_bucket_takes_new_files_once(bucket, tmp_path):
    bucket.prepare()
    assert bucket.write_new("b/c", iter([b"t", b"wo"]), tmp_path) == (digest(b"two"), 3)
    with pytest.raises(ObjectExists):
        bucket.write_new("b/c", [b"other"], tmp_path)
    assert bucket.read("b/c") == b"two"
    assert bucket.top_names() == ["b"]
    assert list(tmp_path.iterdir()) == []


def test_the_first_failure_ends_the_others():
    called = []

    def call(item):
        called.append(item)
        if item == 3:
            raise StorageError("no")
        return item * 2

    assert dict(map_threads(call, [], 0)) == {}
    assert dict(map_threads(call, [1, 2, 4], 2)) == {1: 2, 2: 4, 4: 8}
    called.clear()
    with pytest.raises(StorageError):
        dict(map_threads(call, range(1, 1000), 1))
    assert called == [1, 2, 3]
