"""Whatever is wrong, the user gets one sentence and the exit code for it."""

import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fdsl_gen.archive.tar import Encoded
from fdsl_train.cli.main import main
from fdsl_train.tasks import TASKS
from tests.fdsl_train.conftest import build_dataset, start, write_recipe


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset that may be spoilt, and of which no other test left a decoded copy."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return build_dataset(tmp_path / "data")


def pretrain(recipe: Path | str, data: Path, output: Path, *more: str) -> Result:
    arguments = ["pretrain", "--recipe", recipe, "--data", data, "--output", output, *more]
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_refused(result: Result, sentence: str, code: int = 2) -> None:
    assert result.exit_code == code, (result.output, result.exception)
    said = result.stderr.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("fdsl-train: ")
    assert sentence in said[0], said[0]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-512])


def in_use(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("...")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda d: (d / "manifest.json").unlink(), "has no manifest.json"),
        (lambda d: (d / "patterns-train-000001.tar").unlink(), "000001.tar: is missing"),
        (lambda d: cut(d / "patterns-train-000002.tar"), "bytes, the manifest says"),
        (lambda d: flip(d / "patterns-train-000000.tar", 700), "000000.tar, sample"),
        (lambda d: (d / "manifest.json").write_text("{"), "cannot read"),
    ],
    ids=["no manifest", "no shard", "short shard", "flipped byte", "broken manifest"],
)
def test_spoilt_datasets(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], Any], sentence: str
) -> None:
    spoil(folder)
    recipe = write_recipe(tmp_path / "r.yaml")
    assert_refused(pretrain(recipe, folder, tmp_path / "out"), sentence)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (b"8", "the label 8 is not below the number of classes, 8"),
        (b"-1", "the label b'-1' is not an integer from 0 on"),
        (b"cat", "the label b'cat' is not an integer"),
    ],
)
def test_impossible_labels(tmp_path: Path, label: bytes, sentence: str, workers: str) -> None:
    def spoil(samples: list[Encoded]) -> list[Encoded]:
        image = samples[2].members[0]
        samples[2] = Encoded("00003_00007", (image, ("cls", label)))
        return samples

    folder = build_dataset(tmp_path / "data", edit=spoil)
    result = pretrain(
        write_recipe(tmp_path / "r.yaml"), folder, tmp_path / "out", "--workers", workers
    )
    assert_refused(result, sentence)
    assert "patterns-train-000000.tar, sample 00003_00007" in result.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--lr", "-1"), "--lr: must be greater than 0, not -1"),
        (("--lr", "nan"), "--lr: must be finite"),
        (("--steps", "0"), "--steps: must be at least 1, not 0"),
        (("--steps", "1.5"), "--steps: must be an integer, not 1.5"),
        (("--epochs", "0"), "--epochs: must be greater than 0"),
        (("--steps", "3", "--epochs", "3"), "give exactly one of steps and epochs"),
        (("--batch-size", "0"), "--batch-size: must be at least 1"),
        (("--model", "vit_tyni_patch16_224"), "timm has no model 'vit_tyni_patch16_224'; did you"),
        (("--model", "resnet18"), "resnet18 cannot be built with"),
        (("--embed-dim", "33"), "cannot be built with"),
        (("--aa", "rand-m9-what"), "aa: must look like rand-m9-mstd0.5-inc1, not 'rand-m9-what'"),
        (("--warmup-steps", "50"), "must be shorter than the run"),
        (("--global-batch-size", "15"), "share of a process must be even, and it is 15"),
        (("--opt", "adamv"), "opt: timm has no optimizer 'adamv'; did you mean 'adam"),
        (("--opt", "adahessian"), "cannot be used here: it needs second derivatives"),
        (("--opt", "fusedlamb"), "opt: fusedlamb cannot be used here"),
        (("--torchcompile", "inducto"), "no backend 'inducto'; did you mean 'inductor'"),
        (
            ("--grad-accum-steps", "3"),
            "16 images cannot be shared evenly by 1 processes in 3 parts",
        ),
        (("--grad-accum-steps", "16"), "must be even, and it is 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_settings(
    dataset: Path, tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml")
    assert_refused(pretrain(recipe, dataset, tmp_path / "out", *flags), sentence)
    assert not (tmp_path / "out").exists()


# TensorBoard's thread meets the deletion, too, at a moment of its own.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "moment",
    [
        "logs.Log.line",
        "logs.Log.row",
        "checkpoint.save",
        "trainer.Trainer._conclude",
        "run.num_parameters",
        "run.check_present",
    ],
)
def test_an_output_folder_that_is_deleted_under_a_run(
    dataset: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0, checkpoint_every=2)
    out = tmp_path / "out"
    place = "fdsl_train.training." + moment
    original = pkgutil.resolve_name(place)

    def delete(*args: Any) -> Any:
        if out.exists():  # at once: TensorBoard's thread may meet no half of it
            out.rename(tmp_path / "deleted")
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(place, delete)
        result = pretrain(recipe, dataset, out)
    assert_refused(result, f"the output folder {out} was deleted while this ran; the same", 1)
    assert not out.exists(), "made anew, without the rest of the run"
    again = pretrain(recipe, dataset, out, "--resume", "auto")
    assert again.exit_code == 0, again.output


def test_recipes_that_are_none(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_refused(pretrain("cpu_smok", dataset, out), "no recipe named 'cpu_smok'; did you mean")
    assert_refused(pretrain(tmp_path / "no.yaml", dataset, out), "cannot read")
    unknown = write_recipe(tmp_path / "r.yaml", learning_rate=1)
    assert_refused(pretrain(unknown, dataset, out), "r.learning_rate: unknown key")
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert_refused(pretrain(tmp_path / "list.yaml", dataset, out), "must be a mapping")
    arguments = ["pretrain", "--data", str(dataset), "--output", str(out)]
    assert_refused(CliRunner().invoke(main, arguments), "names no training recipe")


def test_folders_that_are_none(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml")
    out = tmp_path / "out"
    assert_refused(pretrain(recipe, tmp_path / "nothing", out), "no such folder")
    assert_refused(pretrain(recipe, recipe, out), "is a file; --data takes the folder")
    assert_refused(pretrain(recipe, dataset, recipe), "cannot make the output folder")
    assert_refused(pretrain(recipe, dataset, recipe / "below"), "cannot make the output folder")
    in_use(out)
    assert_refused(pretrain(recipe, dataset, out), "is not empty and not a run of fdsl-train")
    assert_refused(
        pretrain(recipe, dataset, out, "--resume", "auto"), "not empty and not a run of fdsl-train"
    )
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_checkpoint_that_is_none(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml")
    out = tmp_path / "out"
    out.mkdir()
    (out / "args.yaml").write_text("")
    for content in (b"", b"not a checkpoint", b"PK\x03\x04 cut"):
        (out / "last.pth.tar").write_bytes(content)
        result = pretrain(recipe, dataset, out, "--resume", "auto")
        assert_refused(result, "is not a checkpoint, or it is damaged")
    torch.save({"weights": torch.zeros(2)}, out / "last.pth.tar")
    result = pretrain(recipe, dataset, out, "--resume", "auto")
    assert_refused(result, "is not a checkpoint made by this version")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_recipe_for_a_gpu_names_the_one_for_the_cpu(dataset: Path, tmp_path: Path) -> None:
    result = pretrain("one-instance-1k", dataset, tmp_path / "out")
    assert_refused(result, "use --recipe cpu-smoke (with make: RECIPE=cpu-smoke), or insist with")
    recipe = write_recipe(tmp_path / "r.yaml", device="auto", steps=3, warmup_steps=0)
    insisted = pretrain(recipe, dataset, tmp_path / "out", "--device", "cpu")
    assert insisted.exit_code == 0, insisted.output


def test_other_kinds_of_labels(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = folder / "manifest.json"
    text = manifest.read_text().replace('"single"', '"segmentation"')
    manifest.write_text(text.replace('"cls"', '"mask.png"'))
    result = pretrain(write_recipe(tmp_path / "r.yaml"), folder, tmp_path / "out")
    assert_refused(result, "are for whole images, and these have masks; use --mixup 0")
    monkeypatch.delitem(TASKS, "segmentation")
    result = pretrain(write_recipe(tmp_path / "r.yaml"), folder, tmp_path / "out")
    assert_refused(result, "is labeled with segmentation, which no training task learns from")


@pytest.mark.parametrize("workers", ["0", "1", "4"])
def test_one_sentence_remains_after_loader_processes(tmp_path: Path, workers: str) -> None:
    """A process of its own: PyTorch told of the end of its workers when Python exited."""

    def spoil(samples: list[Encoded]) -> list[Encoded]:
        return [Encoded(one.key, (("png", b"not a PNG"), one.members[1])) for one in samples]

    folder = build_dataset(tmp_path / "data", edit=spoil)
    recipe = write_recipe(tmp_path / "r.yaml", decoded_cache=0)
    words = ["pretrain", "--recipe", recipe, "--data", folder, "--output", tmp_path / "out"]
    process = start(*words, "--workers", workers)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 2, errors
    assert len(errors.splitlines()) == 1, errors
    assert errors.endswith("the image is damaged: not a PNG file\n")
