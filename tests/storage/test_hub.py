"""Uploads to the Hugging Face Hub, up to the calls of its library: no network here.

``HfApi`` is replaced by one that records what it is asked for and checks it against the signatures
of the real one.
"""

import inspect

import huggingface_hub
import pytest

from fdsl_gen.core.errors import StorageError, UsageError
from fdsl_gen.dataset.hub import upload_to_hub
from tests.conftest import fdsl_gen


@pytest.fixture
def calls(monkeypatch):
    real = huggingface_hub.HfApi
    made = []

    class Recording:
        def __getattr__(self, name):
            signature = inspect.signature(getattr(real, name))

            def call(*args, **kwargs):
                bound = signature.bind(self, *args, **kwargs)
                made.append((name, dict(list(bound.arguments.items())[1:])))

            return call

    monkeypatch.setattr(huggingface_hub, "HfApi", Recording)
    return made


def test_the_manifest_goes_last(small_folder, calls):
    assert upload_to_hub(small_folder, "me/set") == "hf://datasets/me/set"
    assert [name for name, _ in calls] == ["create_repo", "upload_folder", "upload_file"]
    made, folder, file = (arguments for _, arguments in calls)
    assert made["exist_ok"] is True
    assert {call["repo_id"] for call in (made, folder, file)} == {"me/set"}
    assert {call["repo_type"] for call in (made, folder, file)} == {"dataset"}
    assert folder["folder_path"] == small_folder
    sent = huggingface_hub.utils.filter_repo_objects(
        ["a.tar", "manifest.json", ".a.tar.host.1.tmp", "__meta__/recipe.json", "__meta__/.x.tmp"],
        ignore_patterns=folder["ignore_patterns"],
    )
    assert list(sent) == ["a.tar", "__meta__/recipe.json"]
    assert file["path_or_fileobj"] == small_folder / "manifest.json"
    assert file["path_in_repo"] == "manifest.json"


def test_what_the_hub_refuses_is_one_sentence(small_folder, monkeypatch):
    class Refusing:
        def create_repo(self, *args, **kwargs):
            raise PermissionError("token hf_secret is not valid")

    monkeypatch.setattr(huggingface_hub, "HfApi", Refusing)
    with pytest.raises(StorageError, match=r"did not take me/set \(PermissionError\)") as refused:
        upload_to_hub(small_folder, "me/set")
    assert "hf_secret" not in str(refused.value)


def test_only_finished_datasets_are_sent(tmp_path, calls):
    with pytest.raises(UsageError, match=r"no manifest.json"):
        upload_to_hub(tmp_path, "me/set")
    assert calls == []
    done = fdsl_gen("upload", tmp_path, "hf://datasets/me/set")
    assert done.returncode == 2
    assert "not a dataset made by fdsl-gen" in done.stderr
