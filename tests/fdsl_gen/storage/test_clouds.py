"""Generate, upload, download, verify and train in the storage of each cloud."""

import os

import pytest
from click.testing import CliRunner

from fdsl_gen import generate
from fdsl_gen.cli.main import cli
from fdsl_train.cli.main import main
from tests.fdsl_gen.storage.emulators import ACCOUNT_KEY, SECRET
from tests.fdsl_gen.storage.proxy import BUSY, CUT, PASS, RESET
from tests.fdsl_gen.storage.test_generate import contents, equal_but_for_markers, files

TRAIN = """--recipe cpu_smoke --img-size 32 --patch-size 8 --embed-dim 32 --depth 1 --num-heads 2
    --steps 2 --warmup-steps 1 --global-batch-size 8 --workers 1 --decoded-cache 0"""


@pytest.mark.parametrize("cloud", ["s3", "gs", "az"], indirect=True)
def test_every_command(small, small_folder, bucket, proxy, direct, tmp_path, monkeypatch, cloud):
    """Each request fails once on its way."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    faults = {"GET": (BUSY, CUT, RESET), "PUT": (BUSY, RESET), "HEAD": (BUSY, RESET)}

    def rule(method, path, before):
        kinds = faults.get(method)
        return PASS if before or kinds is None else kinds[len(path) % len(kinds)]

    proxy.rule = rule
    there = ["--endpoint-url", bucket.options.endpoint_url]

    def run(command, *words) -> str:
        done = CliRunner().invoke(command, [str(word) for word in (*words, *there)])
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
        assert ACCOUNT_KEY not in done.output
        return done.stdout

    generate(small(), bucket.url, workers=1, storage=bucket.options, tmp_dir=tmp_path / "tmp")
    equal_but_for_markers(contents(direct), files(small_folder))
    assert run(cli, "status", bucket.url) == "8 of 8 shards are done\ncomplete\n"
    assert run(cli, "verify", bucket.url, "--render", 3).endswith("3 drawn again and equal\n")
    copy = f"{cloud}://{bucket.bucket}/copy"
    assert run(cli, "upload", small_folder, copy).startswith(f"{copy} is complete: ")
    run(cli, "download", copy, tmp_path / "back")
    assert files(tmp_path / "back") == files(small_folder)
    output = ["--output", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
    run(main, "pretrain", *TRAIN.split(), "--data", bucket.url, *output)
    assert os.listdir(tmp_path / "out")
