"""Objects are whole or not there; failures are retried, bounded, and told without secrets."""

import os
import pickle
from hashlib import sha256

import pytest

from fdsl_gen.core.errors import Mismatch, StorageError, UsageError
from fdsl_gen.store.arrive import arrive, part_of
from fdsl_gen.store.client import client_for
from fdsl_gen.store.options import S3Options
from fdsl_gen.store.parallel import each
from fdsl_gen.store.s3 import S3Store, Stat
from fdsl_gen.store.url import S3Url, is_remote, parse_hub, parse_s3
from tests.storage.conftest import SECRET
from tests.storage.proxy import BUSY, CUT, NO_CONDITIONS, PASS, RESET, SILENT, SLOW

DATA = bytes(range(256)) * 4096  # 1 MiB


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_urls():
    assert parse_s3("s3://bucket/a//b/") == S3Url("bucket", "a/b")
    assert parse_s3("s3://bucket") == S3Url("bucket", "")
    assert S3Store.at("s3://bucket/a/").url == "s3://bucket/a"
    assert parse_hub("hf://datasets/me/set-1") == "me/set-1"
    assert is_remote("s3://bucket/a")
    assert not is_remote("shards/one")
    assert not is_remote("C:\\shards")
    for text in ("gs://bucket/a", "pipe:cat x", "http://host/a", "s3:/bucket", "S3//x:y:"):
        if text.startswith("S3"):
            assert not is_remote(text)
        else:
            with pytest.raises(UsageError, match="is not a place"):
                is_remote(text)
    for text in ("s3://Bucket", "s3://", "s3://a"):
        with pytest.raises(UsageError, match="not the name of a bucket"):
            parse_s3(text)
    with pytest.raises(UsageError, match="mean nothing"):
        parse_s3("s3://bucket/a/../b")
    with pytest.raises(UsageError, match="hf://datasets/OWNER/NAME"):
        parse_hub("hf://models/me/x")


@pytest.mark.parametrize(
    "url", ["http://me:pass@host", "https://host/?key=pass", "ftp://host", "host:9000", "http://"]
)
def test_an_endpoint_holds_no_secret(url):
    with pytest.raises(UsageError, match="endpoint URL") as refused:
        S3Options(endpoint_url=url)
    assert "pass" not in str(refused.value)


def test_objects(bucket):
    assert bucket.stat("a") is None
    bucket.write("a", b"one")
    bucket.write("a", b"two")
    assert bucket.read("a") == b"two"
    assert bucket.stat("a") == Stat(3, digest(b"two"))
    bucket.write("b/c", b"")
    assert bucket.read("b/c") == b""
    assert dict(bucket.sizes()) == {"a": 3, "b/c": 0}
    assert dict(bucket.sizes("b/")) == {"b/c": 0}
    bucket.delete("a")
    bucket.delete("a")
    with pytest.raises(FileNotFoundError, match="sets/one/a"):
        bucket.read("a")


def test_a_new_object_replaces_nothing(bucket, proxy):
    bucket.write_new("a", b"one", digest(b"one"))
    bucket.write_new("a", b"one", digest(b"one"))
    with pytest.raises(FileExistsError):
        bucket.write_new("a", b"two", digest(b"two"))
    assert bucket.read("a") == b"one"


def test_of_two_that_saw_nothing_the_second_is_refused(bucket, proxy, direct):
    def rule(method, path, before):
        if method == "PUT":
            direct.write("a", b"one")  # after the look, before the request
        return PASS

    proxy.rule = rule
    with pytest.raises(FileExistsError):
        bucket.write_new("a", b"two", digest(b"two"))
    assert direct.read("a") == b"one"


def test_without_conditional_requests_a_look_comes_first(bucket, proxy):
    conditional = []

    def rule(method, path, before):
        refused = "If-None-Match" in proxy.headers[-1]
        conditional.append(refused)
        return NO_CONDITIONS if refused else PASS

    proxy.rule = rule
    bucket.write_new("a", b"one", digest(b"one"))
    assert any(conditional)
    assert bucket.read("a") == b"one"
    with pytest.raises(FileExistsError):
        bucket.write_new("a", b"two", digest(b"two"))


@pytest.mark.parametrize("fault", [BUSY, RESET, SLOW])
def test_a_request_that_fails_once_is_repeated(bucket, proxy, fault):
    proxy.rule = lambda method, path, before: PASS if before else fault
    bucket.write("a", DATA)
    assert bucket.read("a") == DATA
    assert proxy.count("PUT", "/a") == proxy.count("GET", "/a") == (1 if fault == SLOW else 2)


def test_a_write_whose_answer_was_lost_counts_as_written(bucket, proxy, direct):
    def rule(method, path, before):
        if method == "PUT" and not before:
            direct.write("a", b"one")  # as if this very request had been heard
            return RESET
        return PASS

    proxy.rule = rule
    bucket.write_new("a", b"one", digest(b"one"))
    assert proxy.count("PUT", "/a") == 2


def test_a_cut_answer_is_continued(bucket, proxy, direct):
    direct.write("a", DATA)
    proxy.rule = lambda method, path, before: CUT if before < 3 else PASS
    assert b"".join(bucket.stream("a")) == DATA
    ranges = [h.get("Range") for h in proxy.headers]
    assert ranges[0] is None
    assert all(later.startswith("bytes=") for later in ranges[1:])
    assert len(ranges) == 4


def test_an_answer_that_always_breaks_off_is_given_up(bucket, proxy, direct):
    direct.write("a", b"x")  # its first half is nothing: no progress
    proxy.rule = lambda method, path, before: CUT
    with pytest.raises(StorageError, match=r"broke off 4 times at byte 0 of 1; run the same"):
        bucket.read("a")
    assert proxy.count("GET", "/a") == 4


def test_another_object_in_its_place_is_not_mixed_in(bucket, proxy, direct):
    direct.write("a", DATA)

    def rule(method, path, before):
        if before == 0:
            return CUT
        direct.write("a", DATA[::-1])
        return PASS

    proxy.rule = rule
    with pytest.raises(FileExistsError):
        b"".join(bucket.stream("a"))


def test_silence_is_told_after_bounded_retries(bucket, proxy):
    proxy.rule = lambda method, path, before: SILENT
    hasty = S3Store(bucket.bucket, "", S3Options(endpoint_url=proxy.url, retries=1, timeout=0.2))
    with pytest.raises(StorageError, match=r"127.0.0.1:\d+ does not answer .*tried 2 times"):
        hasty.stat("a")
    assert proxy.count("HEAD") == 2


def test_an_address_where_nobody_is():
    nobody = S3Store("bucket", "", S3Options(endpoint_url="http://127.0.0.1:9", retries=0))
    with pytest.raises(StorageError, match=r"http://127.0.0.1:9 does not answer"):
        nobody.write("a", b"")


def test_large_files_go_in_parts(bucket, proxy, tmp_path, monkeypatch):
    from fdsl_gen.store import s3

    monkeypatch.setattr(s3, "_PARTS_FROM", 6 << 20)
    monkeypatch.setattr(s3, "_PART", 5 << 20)
    path = tmp_path / "a"
    path.write_bytes(DATA * 12)
    proxy.rule = lambda method, path, before: BUSY if method == "PUT" and not before else PASS
    bucket.upload("a", path, digest(DATA * 12))
    assert bucket.stat("a") == Stat(12 << 20, digest(DATA * 12))
    assert proxy.count("PUT") >= 4
    assert digest(b"".join(bucket.stream("a"))) == digest(DATA * 12)


def test_unfinished_uploads_are_aborted_under_the_prefix_only(bucket):
    client = client_for(bucket.options)
    for key in ("sets/one/a", "sets/one/b", "sets/two/a"):
        client.create_multipart_upload(Bucket=bucket.bucket, Key=key)
    assert bucket.abort_unfinished() == 2
    left = client.list_multipart_uploads(Bucket=bucket.bucket)["Uploads"]
    assert [one["Key"] for one in left] == ["sets/two/a"]


def test_a_file_arrives_whole_and_goes_on_where_it_was(bucket, proxy, tmp_path):
    bucket.write("a", DATA)
    path = tmp_path / "a"
    part_of(path, len(DATA)).write_bytes(DATA[:700_000])
    arrive(bucket, "a", path, len(DATA), digest(DATA))
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert proxy.headers[-1]["Range"] == "bytes=700000-"
    arrive(bucket, "a", path, len(DATA), digest(DATA))
    assert proxy.count("GET", "/a") == 1


def test_a_part_of_something_else_is_thrown_away(bucket, tmp_path):
    bucket.write("a", DATA)
    path = tmp_path / "a"
    part_of(path, len(DATA)).write_bytes(b"z" * 5000)
    arrive(bucket, "a", path, len(DATA), digest(DATA))
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("size", "words"), [(len(DATA), "its sha256 is not"), (7, "has 1,048,576 bytes instead of 7")]
)
def test_what_is_not_expected_does_not_arrive(bucket, tmp_path, size, words):
    bucket.write("a", DATA)
    with pytest.raises(Mismatch, match=words):
        arrive(bucket, "a", tmp_path / "a", size, digest(b"other"))
    with pytest.raises(FileNotFoundError):
        arrive(bucket, "b", tmp_path / "b", 7, digest(b"other"))
    assert list(tmp_path.iterdir()) == []


def test_pickles_hold_no_secret(bucket):
    bucket.write("a", b"one")
    pickled = pickle.dumps(bucket)
    assert SECRET.encode() not in pickled
    assert b"an-access-key" not in pickled
    assert pickle.loads(pickled).read("a") == b"one"
    assert SECRET not in repr(bucket)


def test_a_forked_process_makes_its_own_client(bucket):
    bucket.write("a", b"one")
    ours = id(client_for(bucket.options))
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = id(client_for(bucket.options)) != ours and bucket.read("a") == b"one"
        finally:
            os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert id(client_for(bucket.options)) == ours


def test_settings_reach_the_client(bucket, proxy, monkeypatch):
    config = client_for(bucket.options).meta.config
    assert config.request_checksum_calculation == "when_required"
    assert config.retries["total_max_attempts"] == 4
    assert config.retries["mode"] == "standard"
    assert config.read_timeout == 5.0
    aws = client_for(S3Options(region="eu-west-1", addressing_style="virtual"))
    assert aws.meta.config.request_checksum_calculation == "when_supported"
    assert aws.meta.config.s3["addressing_style"] == "virtual"
    assert "eu-west-1" in aws.meta.endpoint_url
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    found = client_for(S3Options(region="us-west-2"))
    assert found.meta.endpoint_url == proxy.url
    assert found.meta.config.request_checksum_calculation == "when_required"
    assert found.meta.config.retries["mode"] == "adaptive"
    asked = client_for(S3Options(region="us-west-2", checksums="when_supported"))
    assert asked.meta.config.request_checksum_calculation == "when_supported"


def test_the_first_failure_ends_the_others():
    called = []

    def call(item):
        called.append(item)
        if item == 3:
            raise StorageError("no")
        return item * 2

    assert dict(each(call, [], 0)) == {}
    assert dict(each(call, [1, 2, 4], 2)) == {1: 2, 2: 4, 4: 8}
    called.clear()
    with pytest.raises(StorageError):
        dict(each(call, range(1, 1000), 1))
    assert called == [1, 2, 3]
