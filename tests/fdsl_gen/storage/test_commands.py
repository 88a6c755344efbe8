"""The commands as a user sees them: one sentence, the right exit code, and never a secret."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import FdslError
from fdsl_gen.dataset import verify
from tests.conftest import SMALL, fdsl_gen, options
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import FORBIDDEN, PASS, SILENT

SECRETS = (SECRET, "an-access-key", "s3cr3t-in-a-url")


def told(done, code):
    """The one sentence of a command that failed."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("fdsl-gen: ")]
    assert len(lines) == 1
    return lines[0]


def test_made_looked_at_and_brought_home(bucket, proxy, tmp_path):
    there = ["--endpoint-url", proxy.url]
    categories = options(SMALL | {"num_shards": 2})
    how = [f"--tmp-dir={tmp_path / 'tmp'}", "--workers=1"]
    made = fdsl_gen("fractal-1", f"--out={bucket.url}", *how, *categories, *there)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"{bucket.url} is complete: 40 images in ")
    assert f"look at {bucket.url}/preview.png, then:" in made.stdout
    assert fdsl_gen("status", bucket.url, *there).stdout == "2 of 2 shards are done\ncomplete\n"
    checked = fdsl_gen("verify", bucket.url, *there)
    assert checked.stdout == f"{bucket.url} is intact: 2 shards, 40 samples\n"
    bucket.delete("manifest.json")
    shown = fdsl_gen("status", bucket.url, AWS_ENDPOINT_URL=proxy.url)
    assert shown.stdout.endswith(f"next: fdsl-gen finalize {bucket.url}\n")
    ended = fdsl_gen("finalize", bucket.url, AWS_ENDPOINT_URL_S3=proxy.url)
    assert ended.stdout.startswith(f"{bucket.url} is complete, content digest ")
    home = tmp_path / "home"
    brought = fdsl_gen("download", bucket.url, home, *there)
    assert brought.stdout.startswith(f"{home} is complete: 11 files, ")
    assert verify.check_pixels(home, 4, lambda count: None) == []
    figures = tmp_path / "figures.json"
    words = ["report", bucket.url, f"--against={home}", f"--json={figures}", *there]
    cli.main(words, standalone_mode=False)
    found = json.loads(figures.read_text())
    assert found["opened"] == found["against"]["opened"] == 40
    assert set(found["distances"].values()) == {0.0}
    bucket.write("fractal-1-train-000001.tar", b"cut")
    sentence = told(fdsl_gen("verify", bucket.url, *there), 4)
    assert "fractal-1-train-000001.tar has 3 bytes instead of" in sentence
    bucket.write("fractal-1-train-000001.tar", (home / "fractal-1-train-000001.tar").read_bytes())
    drawn = fdsl_gen("verify", bucket.url, "--render=6", *there)
    assert drawn.stdout.endswith("40 samples, 6 drawn again and equal\n"), drawn.stderr
    for output in (made, checked, shown, ended, brought):
        for secret in SECRETS:
            assert secret not in output.stdout + output.stderr


@pytest.fixture
def sentence(tmp_path, monkeypatch, capsys):
    """Runs a command in this process and gives the sentence with which it fails."""
    monkeypatch.chdir(tmp_path)

    def run(*command, code=2):
        with pytest.raises(FdslError) as refused:
            cli.main([str(word) for word in command], standalone_mode=False)
        assert refused.value.exit_code == code
        shown = capsys.readouterr()
        for secret in SECRETS:
            assert secret not in str(refused.value) + shown.out + shown.err
        return str(refused.value)

    return run


def commands(folder: Path, url: str) -> list[list[object]]:
    return [
        ["fractal-1", f"--out={url}", *options(SMALL)],
        ["upload", folder, url],
        ["download", url, "new"],
        ["status", url],
        ["verify", url],
    ]


def test_refused_credentials(small_folder, bucket, proxy, tmp_path, sentence):
    proxy.rule = lambda method, path, before: FORBIDDEN
    there = ["--endpoint-url", proxy.url]
    for command in commands(small_folder, bucket.url):
        assert (said := sentence(*command, *there)).startswith(f"access to {bucket.url}")
        assert "was refused (" in said
        assert "check the credentials" in said
    said = told(fdsl_gen("upload", small_folder, bucket.url, *there, cwd=tmp_path), 2)
    assert "was refused (AccessDenied); check the credentials" in said
    assert list(tmp_path.iterdir()) == []


def test_one_sentence_for_each_mistake(small_folder, bucket, proxy, monkeypatch, sentence):
    there = ["--endpoint-url", proxy.url, "--retries", 0, "--timeout", 0.5]
    assert "there is no bucket not-made at http://127.0.0.1" in sentence(
        "upload", small_folder, "s3://not-made/x", *there
    )
    assert "ftp: is not a place fdsl-gen knows here" in sentence("fractal-1", "--out=ftp://b/x")
    assert "pipe: is not a place" in sentence("status", "pipe:cat x")
    assert "http: is not a place" in sentence("download", "http://host/x", "new")
    assert "hf://datasets/OWNER/NAME" in sentence("upload", small_folder, "hf://me")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_PROFILE", "nobody")
        assert "settings of object storage are wrong: profile not found" in sentence(
            "status", "s3://bucket/x"
        )
    assert "the endpoint URL holds credentials" in sentence(
        "status", "s3://bucket/x", "--endpoint-url=http://me:s3cr3t-in-a-url@host"
    )
    assert "the endpoint URL must be like https://" in sentence(
        "status", "s3://bucket/x", "--endpoint-url=host"
    )
    assert "http://127.0.0.1:9 does not answer" in sentence(
        "status", "s3://bucket/x", "--endpoint-url=http://127.0.0.1:9", "--retries=0", code=3
    )
    assert "is not a dataset of fdsl-gen" in sentence("status", bucket.url, *there)
    assert "there is no dataset there" in sentence("verify", bucket.url, *there)
    proxy.rule = lambda method, path, before: SILENT if method == "PUT" else PASS
    slow = sentence("upload", small_folder, bucket.url, *there, code=3)
    assert "does not answer (timeout, tried 1 times)" in slow
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:s3cr3t-in-a-url@host")
    assert "the endpoint URL holds credentials" in sentence("status", "s3://bucket/x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no usable credentials for s3://" in sentence(
        "status", "s3://bucket/x", "--endpoint-url", proxy.url
    )


WITHOUT = """
import sys
sys.modules[{module!r}] = None
sys.argv = ["fdsl-gen", *{arguments!r}]
from fdsl_gen.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("obstore", "s3://bucket/x", "s3"),
        ("obstore", "gs://bucket/x", "gs"),
        ("huggingface_hub", "hf://datasets/me/x", "hf"),
    ],
)
def test_a_missing_extra_is_named(small_folder, tmp_path, module, url, extra):
    script = WITHOUT.format(module=module, arguments=["upload", str(small_folder), url])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f'pip install "fdsl[{extra}]"' in told(done, 2)


def test_the_commands_load_nothing_of_object_storage():
    script = (
        "import sys\nimport fdsl_gen.cli.main, fdsl_gen.storage.objects, fdsl_gen.build.generate\n"
        "heavy = {'boto3', 'obstore', 'botocore', 'moto', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
