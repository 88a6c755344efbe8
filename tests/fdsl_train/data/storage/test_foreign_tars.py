"""Tars of others in object storage, on a web server and on the Hub: the samples are the same."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import webdataset

from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.open import DataSpec, open_train_val
from fdsl_train.data.sources.base import num_samples
from fdsl_train.data.tars import TarOptions, open_tars, tars_at
from tests.fdsl_gen.storage.proxy import BUSY, CUT, PASS

TRAIN, VAL = ["set-train-0.tar", "set-train-1.tar"], ["set-val-0.tar"]
COMMIT = "c0ffee" + "0" * 34


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """15 images of 3 classes in 3 tars."""
    out = tmp_path_factory.mktemp("tars")
    for first, name in enumerate([*TRAIN, *VAL]):
        with webdataset.TarWriter(str(out / name)) as writer:
            for number in range(5 * first, 5 * first + 5):
                image = np.random.default_rng(number).integers(0, 256, (9, 8), np.uint8)
                writer.write({"__key__": f"{number}", "png": image, "cls": number % 3})
    (out / "classnames.txt").write_text("ant\nbee\ncat\n")
    return out


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def everything(data, **how):
    """Pixels, labels and names of both parts."""
    cache = {"cache_dir": how.pop("cache_dir", None)}
    storage = {"storage": how.pop("storage")} if "storage" in how else {}
    val = how.pop("val_data", None)
    where = DataSpec(
        place=DatasetLocation(data=data, **cache, **storage),
        tars=TarOptions(**how),
        val_data=None if val is None else DatasetLocation(data=val, **cache, **storage),
    )
    opened = open_train_val(where, val_split=None, seed=0)
    found = []
    for source in (opened.train, opened.validation):
        source.prefetch(range(len(source.shard_sizes)))
        for shard, size in enumerate(source.shard_sizes):
            for row in range(size):
                sample = source.read_sample(shard, row)
                found.append((np.asarray(sample.image).tobytes(), sample.label))
    return found, opened.train.class_names, opened.train.digest, opened.validation.digest


@pytest.mark.parametrize("cloud", ["s3", "gs", "az"], indirect=True)
def test_in_a_bucket(folder, bucket, direct, proxy, tmp_path):
    for path in folder.iterdir():
        direct.write(path.name, path.read_bytes())
    proxy.rule = lambda method, path, before: (
        (CUT, BUSY)[path.endswith("0.tar")] if path.endswith(".tar") and before == 0 else PASS
    )
    near = everything(folder)
    how = {"storage": bucket.options, "cache_dir": tmp_path / "shards"}
    assert everything(bucket.url, **how) == near
    fetched = proxy.count("GET", ".tar")
    pattern = f"{bucket.url}/set-train-{{0..1}}.tar"
    assert everything(pattern, val_data=f"{bucket.url}/set-val-0.tar", **how) == near
    assert proxy.count("GET", ".tar") == fetched  # both are in the cache
    with pytest.raises(UsageError, match=r"set-train-2.tar is not there \(1 are missing\)"):
        everything(f"{bucket.url}/set-train-{{0..2}}.tar", **how)


def test_a_tar_that_is_replaced_is_noticed(folder, bucket, direct, tmp_path):
    for path in folder.iterdir():
        direct.write(path.name, path.read_bytes())
    place = DatasetLocation(data=bucket.url, storage=bucket.options, cache_dir=tmp_path / "shards")
    found = tars_at(place)
    content = bytearray((folder / TRAIN[1]).read_bytes())
    content[-1] = 1
    direct.write(TRAIN[1], bytes(content))
    with pytest.raises(Mismatch, match=r"set-train-1.tar was replaced while it was read"):
        open_tars(found, "train", place, TarOptions())
    assert num_samples(open_tars(tars_at(place), "train", place, TarOptions())) == 10


class _Files(BaseHTTPRequestHandler):
    """A folder on a web server, and as much of the Hub as is asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.heard.append((path, self.headers.get("Authorization")))
        if path.startswith("/api/"):
            self.hub(path)
            return
        file = self.server.folder / path.rpartition("/")[2]
        if not file.is_file():
            self.answer(404, b"")
            return
        data = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self.answer(200, data)
            return
        start, stop = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1) + 1
        self.answer(206, data[start:stop], f"bytes {start}-{stop - 1}/{len(data)}")

    def hub(self, path: str) -> None:
        if path == f"/api/datasets/me/set/tree/{COMMIT}":
            files = [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": p.name * 2}
                for p in sorted(self.server.folder.iterdir())
            ]
            self.answer(200, json.dumps(files).encode())
        elif path.startswith("/api/datasets/me/set"):
            self.answer(200, json.dumps({"id": "me/set", "sha": COMMIT}).encode())
        else:
            self.answer(404, b"{}")

    def answer(self, status: int, data: bytes, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Wed, 25 Nov 2020 06:48:29 GMT")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def web(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.folder, server.heard = folder, []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


def test_on_a_web_server(folder, web, tmp_path):
    how = {"cache_dir": tmp_path / "shards"}
    pattern = f"{web.url}/some/where/set-{{train-0,train-1,val-0}}.tar"
    assert everything(pattern, **how) == everything(folder)
    with pytest.raises(UsageError, match=r"no _info.json .* cannot be asked for a list"):
        everything(f"{web.url}/some/where", **how)


def test_on_the_hub(folder, web, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    how = {"cache_dir": tmp_path / "shards"}
    assert everything("hf://datasets/me/set", **how) == everything(folder)
    pattern = "hf://datasets/me/set/set-{train-{0..1},val-0}.tar"
    assert everything(pattern, **how) == everything(folder)
    asked = [who for path, who in web.heard if path.endswith("set-train-0.tar")]
    assert asked and set(asked) == {"Bearer hf_secret"}
    assert f"/datasets/me/set/resolve/{COMMIT}/set-train-0.tar" in [path for path, _ in web.heard]
    with pytest.raises(UsageError, match=r"has no dataset me/other that this account may read"):
        everything("hf://datasets/me/other", **how)
    with pytest.raises(UsageError, match="is hf://datasets/OWNER/NAME"):
        everything("hf://datasets/me", **how)
