"""Runs on the Hugging Face Hub, against a double of its library: no network here."""

import fnmatch
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import load_file

import fdsl_train
from fdsl_gen import load_recipe
from fdsl_gen.core.errors import StorageError, UsageError
from fdsl_train.models.hub import local_weights, parse_model_url
from fdsl_train.publish import push
from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import build_dataset, run, write_recipe

URL = "hf://me/tiny"


class Answer(Exception):
    """The Hub's own words, with a secret in them."""

    def __init__(self, status: int) -> None:
        super().__init__("token hf_secret is not valid")
        self.response = type("Response", (), {"status_code": status})()


class Hub:
    """Repositories as folders; what is committed there can be fetched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commits = 0
        self.private: dict[str, bool | None] = {}
        self.refuses: Exception | None = None

    def create_repo(
        self, repo_id: str, *, repo_type: str, private: bool | None, exist_ok: bool
    ) -> None:
        if self.refuses is not None:
            raise self.refuses
        assert repo_type == "model" and exist_ok
        self.private.setdefault(repo_id, private)
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)

    def create_commit(
        self, repo_id: str, operations: list[Any], *, commit_message: str, repo_type: str
    ) -> None:
        assert repo_type == "model" and "trained by fdsl-train" in commit_message
        self.commits += 1
        for one in operations:
            content, path = one.path_or_fileobj, self.folder / repo_id / one.path_in_repo
            path.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())

    def fetch(
        self, repo_id: str, *, revision: str | None, allow_patterns: list[str], endpoint: str
    ) -> str:
        assert endpoint == "https://huggingface.co" and revision in (None, "main")
        source = self.folder / repo_id
        if not source.is_dir():
            raise Answer(404)
        copy = self.folder / "fetched" / repo_id
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        for path in source.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, copy)
        return str(copy)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda endpoint: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.fetch)
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a recipe of ours, validated."""
    folder = tmp_path_factory.mktemp("published")
    recipe = write_recipe(folder / "r.yaml", steps=4, checkpoint_every=2, global_batch_size=8)
    where = "recipe:rcdb-1k?num_categories=4&num_instances=6&validation_instances=2"
    where += "&image_size=32"
    result = run("pretrain", "--recipe", recipe, "--data", where, "--output", folder / "first-run")
    assert result.exit_code == 0, result.output
    return folder / "first-run"


def test_what_is_pushed_can_be_gone_on_from(finished: Path, hub: Hub, tmp_path: Path) -> None:
    result = run("push", finished, URL, "--private")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{URL} is complete")
    assert hub.private == {"me/tiny": True} and hub.commits == 1
    there = hub.folder / "me" / "tiny"
    names = {path.name for path in there.iterdir()}
    assert names == {"README.md", "args.yaml", "config.json", "dataset.yaml", "model.safetensors"}
    model = fdsl_train.load_model(URL)
    weights = load_file(finished / "export" / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for path in ("config.json", "model.safetensors"):  # what timm reads
        assert (there / path).read_bytes() == (finished / "export" / path).read_bytes()
    assert load_recipe(there / "dataset.yaml").num_categories == 4
    settings = yaml.safe_load((there / "args.yaml").read_text())
    assert settings["steps"] == 4

    data = build_dataset(tmp_path / "data", validation=True)
    more = write_recipe(tmp_path / "f.yaml", purpose="finetune", model=None, img_size=None,
                        patch_size=None, embed_dim=None, depth=None, num_heads=None, steps=3,
                        warmup_steps=0, mixup=0, cutmix=0)  # fmt: skip
    result = run(
        "finetune", "--checkpoint", f"{URL}@main", "--recipe", more, "--data", data,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "me/tiny" in json.loads((tmp_path / "out" / "data.json").read_text())["start"]
    result = run("push", tmp_path / "out", "hf://me/second")
    assert result.exit_code == 2
    assert "--license: the data name none, or several" in result.stderr
    push(tmp_path / "out", "hf://me/second", license="cc0-1.0")
    text = (hub.folder / "me" / "second" / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "cc0-1.0"
    assert "top-1, %" in text and "## Citation" not in text


def test_the_card_tells_of_the_run(finished: Path, hub: Hub) -> None:
    push(finished, URL)
    text = (hub.folder / "me" / "tiny" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    saved = checkpoint.load(finished / "last.pth.tar")
    recipe = load_recipe("rcdb-1k")
    assert front["license"] == recipe.license and front["library_name"] == "timm"
    (result,) = front["model-index"][0]["results"]
    measured = {one["type"]: one["value"] for one in result["metrics"]}
    assert measured == {k: round(v, 3) for k, v in saved["latest"].items()}
    (one,) = json.loads((finished / "data.json").read_text())["sets"]
    for words in (
        'timm.create_model("hf-hub:me/tiny", pretrained=True)',
        f"identity `{one['identity']}`",
        "num_categories: 4",
        "fdsl-gen run dataset.yaml",
        "global_batch_size: 8",
        "Started from: from scratch",
        f"| top-1, % | {saved['latest']['val_top1']:.2f} |",
        recipe.variant.CITATION.strip(),
    ):
        assert words in text, words


def test_a_run_that_cannot_be_pushed(finished: Path, hub: Hub, tmp_path: Path) -> None:
    for words, sentence in (
        ([tmp_path, URL], "has no export: it is no run, or not finished"),
        ([finished, "hf://datasets/me/tiny"], "a model of the Hugging Face Hub is hf://OWNER/NAME"),
        ([finished, "me/tiny"], "a model of the Hugging Face Hub is hf://OWNER/NAME"),
        ([finished, f"{URL}@main"], "leave @main out"),
    ):
        result = run("push", *words)
        assert result.exit_code == 2, result.output
        assert sentence in result.stderr and len(result.stderr.splitlines()) == 1
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    for change in (lambda path: path.write_text("[]"), lambda path: path.unlink()):
        change(copy / "data.json")
        with pytest.raises(UsageError, match=r"data\.json is"):
            push(copy, URL)
    assert hub.commits == 0


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Answer(403), UsageError, "does not let this account write to me/tiny"),
        (Answer(502), StorageError, "failed at me/tiny"),
        (ConnectionResetError("hf_secret"), StorageError, "cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    finished: Path, hub: Hub, error: Exception, kind: type[Exception], words: str
) -> None:
    hub.refuses = error
    with pytest.raises(kind, match=words) as refused:
        push(finished, URL)
    assert "hf_secret" not in str(refused.value)


def test_models_that_are_not_there(hub: Hub, tmp_path: Path) -> None:
    for words in (["eval", URL], ["knn", URL], ["finetune", "--output", "x", "--checkpoint", URL]):
        result = run(*words, "--data", tmp_path)
        assert result.exit_code == 2, result.output
        assert "the Hub has no model me/tiny that this account may read (404)" in result.stderr
    assert "hf://OWNER/NAME" in run("eval", "hf:me/tiny", "--data", tmp_path).stderr
    hub.create_repo("me/tiny", repo_type="model", private=None, exist_ok=True)
    with pytest.raises(UsageError, match=r"hf://me/tiny has no config\.json"):
        local_weights(URL)
    assert local_weights("runs/x") == local_weights(Path("runs/x")) == Path("runs/x")


@pytest.mark.parametrize(
    "text", ["hf://me", "hf://models/me/tiny", "hf://me/tiny@", "hf://me/ti ny", "hf:me/tiny"]
)
def test_names_of_models(text: str) -> None:
    assert parse_model_url("hf://me/tiny@v1.0") == ("me/tiny", "v1.0")
    with pytest.raises(UsageError, match="is hf://OWNER/NAME"):
        parse_model_url(text)


def test_the_double_is_like_the_library() -> None:
    """Names of arguments that are used are those of the real one."""
    import inspect

    real: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
        (huggingface_hub.HfApi.create_repo, Hub.create_repo),
        (huggingface_hub.HfApi.create_commit, Hub.create_commit),
        (huggingface_hub.snapshot_download, Hub.fetch),
    ]
    for known, double in real:
        assert inspect.signature(double).parameters.keys() <= inspect.signature(
            known
        ).parameters.keys() | {"self"}
