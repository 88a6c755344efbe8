"""Uploads to the Hugging Face Hub, up to the calls of its library: no network here.

``HfApi`` is replaced by one that records what it is asked for and checks it against the signatures
of the real one.
"""

import inspect

import huggingface_hub
import pytest

from fdsl_gen.core.errors import ShardsFailed, StorageError, UsageError
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


class _Response:
    def __init__(self, status_code):
        self.status_code = status_code


def _answered(status):
    error = RuntimeError("token hf_secret is not valid")
    error.response = _Response(status)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (_answered(401), UsageError, "log in with hf auth login or HF_TOKEN"),
        (_answered(403), UsageError, r"does not let this account write to me/set"),
        (_answered(404), UsageError, r"has no place me/set"),
        (_answered(429), StorageError, r"failed at me/set \(429\); wait, then run the same"),
        (_answered(502), StorageError, r"failed at me/set \(502\)"),
        (_answered(413), StorageError, r"did not take me/set \(413\)"),
        (ConnectionResetError("hf_secret"), StorageError, "cannot be reached .*check the network"),
        (OSError(28, "No space left on device", "x.tar"), ShardsFailed, "x.tar: No space left"),
        (KeyError("hf_secret"), StorageError, r"did not take me/set \(KeyError\)"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(small_folder, monkeypatch, error, kind, words):
    class Refusing:
        def create_repo(self, *args, **kwargs):
            raise error

    monkeypatch.setattr(huggingface_hub, "HfApi", Refusing)
    with pytest.raises(kind, match=words) as refused:
        upload_to_hub(small_folder, "me/set")
    assert type(refused.value) is kind
    assert "hf_secret" not in str(refused.value)
    assert ("log in" in str(refused.value)) == (
        getattr(error, "response", None) is not None and error.response.status_code == 401
    )


def test_only_finished_datasets_are_sent(tmp_path, calls):
    with pytest.raises(UsageError, match=r"no manifest.json"):
        upload_to_hub(tmp_path, "me/set")
    assert calls == []
    done = fdsl_gen("upload", tmp_path, "hf://datasets/me/set")
    assert done.returncode == 2
    assert "not a dataset made by fdsl-gen" in done.stderr
