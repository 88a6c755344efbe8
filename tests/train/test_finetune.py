"""From a checkpoint to real digits, and every kind of folder on the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner, Result
from conftest import build_dataset, write_recipe
from PIL import Image
from sklearn.datasets import load_digits

from fdsl_gen.errors import UsageError
from fdsl_train import checkpoint
from fdsl_train.cli import main
from fdsl_train.data.folder import open_folders, read_image
from fdsl_train.data.source import num_samples
from fdsl_train.weights import model_for, read_trained

FINETUNE = {
    "purpose": "finetune",
    "opt": "adamw",
    "lr": 2e-3,
    "smoothing": 0,
    "epochs": 8,
    "steps": None,
    "warmup_steps": None,
    "warmup_epochs": 1,
    "global_batch_size": 16,
    "model": None,
    "img_size": None,
    "patch_size": None,
    "embed_dim": None,
    "depth": None,
    "num_heads": None,
    "mixup": 0,
    "cutmix": 0,
    "aa": None,
    "hflip": 0,
    "vflip": 0,
    "reprob": 0,
    "drop_path": 0,
    "scale": [0.9, 1.0],
    "mean": [0.3, 0.3, 0.3],  # of the digits, near enough
    "std": [0.35, 0.35, 0.35],
    "crop_pct": 1.0,
    "log_every": 20,
    "checkpoint_every": 60,
}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pretrained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short pre-training run."""
    folder = tmp_path_factory.mktemp("pretrained")
    plain = {
        "embed_dim": 64,
        "num_heads": 4,
        "mixup": 0,
        "cutmix": 0,
        "aa": None,
        "reprob": 0,
        "smoothing": 0,
        "lr": 2e-3,
    }
    recipe = write_recipe(folder / "tiny.yaml", steps=100, scale=[0.5, 1.0], **plain)
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", folder / "out")
    assert result.exit_code == 0, result.output
    return folder / "out"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real handwritten digits, 8x8 grey: 70 of each to train on, 20 to test on."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    for label in range(10):
        images = data.images[data.target == label]
        for i, image in enumerate(images[:90]):
            path = folder / ("train" if i < 70 else "test") / f"digit {label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15.9).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def tuned(pretrained: Path, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned on the digits, starting from the exported folder."""
    folder = tmp_path_factory.mktemp("tuned")
    recipe = write_recipe(folder / "r.yaml", **FINETUNE)
    result = run(
        "finetune", "--recipe", recipe, "--checkpoint", pretrained / "export", "--data", digits,
        "--output", folder / "out",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "new head for 10 classes" in result.output
    assert "last: top-1" in result.output
    assert "chosen by test" in result.output
    return folder / "out"


def test_digits_are_told_apart(tuned: Path) -> None:
    saved = checkpoint.load(tuned / "last.pth.tar")
    assert saved["latest"]["val_top1"] > 40  # chance: 10
    assert saved["best"]["val_top1"] >= saved["latest"]["val_top1"]
    assert saved["latest"]["val_top5"] > saved["latest"]["val_top1"]


def test_the_best_checkpoint_is_the_best(tuned: Path) -> None:
    best = checkpoint.load(tuned / "model_best.pth.tar")
    assert best["step"] == best["best"]["step"]
    rows = (tuned / "summary.csv").read_text().splitlines()
    assert rows[0] == "step,epoch,lr,loss,top1,val_top1,val_top5"
    assert len(rows) == 1 + 8
    top = max(float(row.split(",")[5]) for row in rows[1:])
    assert best["best"]["val_top1"] == top


def test_what_travels_in_the_export(tuned: Path) -> None:
    config = json.loads((tuned / "export" / "config.json").read_text())
    assert config["label_names"] == [f"digit {label}" for label in range(10)]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert config["pretrained_cfg"]["crop_pct"] == 1.0
    model = timm.create_model(f"local-dir:{tuned / 'export'}", pretrained=True)
    saved = checkpoint.load(tuned / "last.pth.tar")
    assert torch.equal(model.head.weight, saved["model"]["head.weight"])


@pytest.mark.parametrize("where", ["export", "last.pth.tar", "."])
def test_all_ways_to_name_the_start_are_the_same(pretrained: Path, where: str) -> None:
    saved = checkpoint.load(pretrained / "last.pth.tar")["model"]
    trained = read_trained(pretrained / where)
    model = model_for(trained, num_classes=3, img_size=32, drop_path=0.0, seed=0)
    weights = model.state_dict()
    assert weights["head.weight"].shape == (3, 64)
    rest = [name for name in saved if not name.startswith("head.")]
    assert all(torch.equal(weights[name], saved[name]) for name in rest)


def test_another_input_size_moves_the_positions(pretrained: Path) -> None:
    trained = read_trained(pretrained)
    model = model_for(trained, num_classes=3, img_size=48, drop_path=0.0, seed=0)
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 3)
    assert model.state_dict()["pos_embed"].shape[1] == 6 * 6 + 1


def test_an_interrupted_fine_tuning_continues(
    pretrained: Path, tuned: Path, digits: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE)
    output = tmp_path / "out"
    arguments = ["finetune", "--recipe", recipe, "--checkpoint", pretrained, "--data", digits]
    arguments += ["--output", output, "--resume", "auto"]
    with pytest.MonkeyPatch.context() as patch:
        calls = 0

        def stop(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 100:
                raise KeyboardInterrupt

        patch.setattr("fdsl_train.progress.Progress.step", stop)
        interrupted = run(*arguments)
    assert interrupted.exit_code == 130
    assert "--resume auto continues the run" in interrupted.stderr
    assert checkpoint.load(output / "last.pth.tar")["step"] == 60
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert (output / "summary.csv").read_text() == (tuned / "summary.csv").read_text()
    last = (tuned / "export" / "model.safetensors").read_bytes()
    assert (output / "export" / "model.safetensors").read_bytes() == last


def test_a_dataset_of_ours_with_a_validation_split(pretrained: Path, tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "data", validation=True)
    recipe = write_recipe(
        tmp_path / "r.yaml", **FINETUNE | {"opt": "sgd", "epochs": 2, "workers": 1}
    )
    result = run(
        "finetune", "--recipe", recipe, "--checkpoint", pretrained, "--data", folder,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "chosen by validation" in result.output


def tree(root: Path, *files: str) -> Path:
    """A tree of 4x4 images."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    return root


@pytest.mark.parametrize("train", ["train", "training"])
@pytest.mark.parametrize("held_out", ["val", "validation", "test"])
def test_names_of_splits(tmp_path: Path, train: str, held_out: str) -> None:
    files = (f"{train}/a/1.png", f"{train}/b/deep/2.jpg", f"{held_out}/b/3.png")
    kept, held, label = open_folders(tree(tmp_path, *files), val_split=None, seed=0)
    assert (num_samples(kept), num_samples(held), label) == (2, 1, held_out)
    assert kept.class_names == held.class_names == ("a", "b")
    assert held.take(0, 0).label == 1


def test_a_share_of_every_class_is_held_out(tmp_path: Path) -> None:
    files = [f"{name}/{i}.png" for name in "abc" for i in range(20)]
    kept, held, _ = open_folders(tree(tmp_path, *files), val_split=0.1, seed=0)
    assert [held.take(0, row).label for row in range(num_samples(held))] == [0, 0, 1, 1, 2, 2]
    assert num_samples(kept) == 54
    again = open_folders(tmp_path, val_split=0.1, seed=0)[1]
    other = open_folders(tmp_path, val_split=0.1, seed=1)[1]
    assert again.digest == held.digest != other.digest


@pytest.mark.parametrize(
    ("files", "val_split", "sentence"),
    [
        (("a/1.png", "b/1.png"), None, "give --val-split 0.1"),
        (("a/1.png", "test/a/1.png"), None, "has a folder test but no folder train"),
        (("train/a/1.png", "val/b/1.png"), None, "b is a class that"),
        (("train/a/1.png", "val/a/1.png"), 0.1, "leave --val-split out"),
        (("a/1.png", "b/1.png", "b/2.png"), 0.5, "a has one image"),
        (("1.png",), 0.1, "holds no folders; images must be in one folder per class"),
    ],
)
def test_trees_that_cannot_be_used(
    tmp_path: Path, files: tuple[str, ...], val_split: float | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_folders(tree(tmp_path, *files), val_split=val_split, seed=0)


def test_images_of_every_kind_become_rgb(tmp_path: Path) -> None:
    corner = np.zeros((6, 4), np.uint8)
    corner[0, 0] = 200
    grey = Image.fromarray(corner)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
        grey.convert(mode).save(path)
        image = read_image(path)
        assert (image.mode, image.size) == ("RGB", (4, 6)), mode
        assert image.getpixel((0, 0))[0] >= 190, mode
        assert image.getpixel((3, 5))[0] <= 10, mode
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to view
    grey.convert("RGB").save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png")
    assert turned.size == (6, 4)
    assert turned.getpixel((5, 0)) == (200, 200, 200)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"cannot read the image .*x\.png"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--checkpoint", "nothing.pth.tar"), "no such checkpoint: nothing.pth.tar"),
        (("--checkpoint", "."), "holds neither last.pth.tar nor an exported config.json"),
        (("--depth", "7"), "was trained with 2, not 7; leave it out"),
        (("--data", "nothing"), "cannot read the folder nothing"),
        (("--recipe", "cpu_smoke"), "is for fdsl-train pretrain, not finetune"),
        (("--model", "resnet18"), "was trained with vit_tiny_patch16_224, not resnet18"),
    ],
)
def test_starts_that_cannot_be(
    pretrained: Path, digits: Path, tmp_path: Path, flags: tuple[str, ...], sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE)
    given = {"--recipe": recipe, "--checkpoint": pretrained, "--data": digits, "--output": "out"}
    result = run("finetune", *(x for pair in given.items() for x in pair), *flags)
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_default_recipe_is_for_a_gpu(pretrained: Path, digits: Path, tmp_path: Path) -> None:
    given = ("--checkpoint", pretrained, "--data", digits, "--output", tmp_path / "out")
    result = run("finetune", *given)
    assert result.exit_code == 2
    assert "use --recipe cpu_finetune" in result.stderr
