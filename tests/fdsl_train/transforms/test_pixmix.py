"""PixMix: the arithmetic against loops, draws from keys, and runs that use it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, TrainConfig
from fdsl_train.data.pictures import open_pictures
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms.pixmix import PixMix, Round, mix, sample_mixing
from tests.fdsl_train.conftest import FINETUNE, TINY, run, write_recipe

SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "img_size": 32}
SCRATCH = FINETUNE | SMALL | {"model": "vit_tiny_patch16_224"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of noise in color and one in gray, of several sizes and at several depths."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deeper").mkdir()
    random_numbers = np.random.default_rng(0)
    for number in range(6):
        shape = (40 + 9 * number, 70) if number == 5 else (40 + 9 * number, 70, 3)
        image = Image.fromarray(random_numbers.integers(0, 256, shape, np.uint8))
        image.save(folder / ("deeper" if number % 2 else ".") / f"{number}.png")
    return folder


def mixed_by_loops(
    start: NDArray[np.uint8], others: list[NDArray[np.uint8]], rounds: list[Round]
) -> NDArray[np.uint8]:
    """One value at a time, as the paper has it: images of 0..2 multiplied, of -1..1 added."""
    height, width, _ = start.shape
    channels = max(image.shape[2] for image in (start, *others))
    out = np.empty((height, width, channels), np.uint8)
    for y in range(height):
        for x in range(width):
            for channel in range(channels):
                value = start[y, x, channel % start.shape[2]] / 255
                for other, (_, multiply, a, b) in zip(others, rounds, strict=True):
                    coming = other[y, x, channel % other.shape[2]] / 255
                    if multiply:
                        value = math.pow(2 * value, a) * math.pow(max(2 * coming, 1e-37), b) / 2
                    else:
                        value = ((2 * value - 1) * a + (2 * coming - 1) * b + 1) / 2
                    value = min(1.0, max(0.0, value))
                out[y, x, channel] = round(255 * value)
    return out


@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 1), (3, 3)])
def test_mixing_is_equal_to_its_twin(channels: tuple[int, int]) -> None:
    random_numbers = np.random.default_rng(3)
    seed_cpu(Key(0, "twin", channels))
    seen = set()
    for _ in range(12):
        rounds = list(sample_mixing(4, 3.0).rounds)
        images = [
            random_numbers.integers(0, 256, (7, 6, channels[i > 0]), np.uint8)
            for i in range(1 + len(rounds))
        ]
        images[-1][:2] = 0  # what has no negative power
        ours = mix(images[0], images[1:], rounds)
        assert np.array_equal(ours, mixed_by_loops(images[0], images[1:], rounds))
        seen |= {(one.multiply, one.b < 0) for one in rounds}
    assert len(seen) == 4


def test_what_is_drawn() -> None:
    """Rounds 0..k alike; weights of Beta(beta, 1) and its mirror, in both of the paper's forms."""
    seed_cpu(Key(0, "draws"))
    drawn = [sample_mixing(4, 3.0) for _ in range(4000)]
    counts = np.bincount([len(one.rounds) for one in drawn], minlength=5)
    assert len(counts) == 5 and counts.min() > 650  # 800 each
    assert 1850 < sum(one.from_copy for one in drawn) < 2150
    rounds = [one for mixing in drawn for one in mixing.rounds]
    for share in (
        sum(one.copy for one in rounds),
        sum(one.multiply for one in rounds),
        sum(one.b < 0 for one in rounds),
    ):
        assert abs(share / len(rounds) - 0.5) < 0.03
    kept = np.array([(one.a, one.b) for one in rounds if one.b >= 0])
    beyond = np.array([(one.a, one.b) for one in rounds if one.b < 0])
    assert np.abs(kept.mean(axis=0) - [0.75, 0.25]).max() < 0.02
    assert np.abs(beyond.mean(axis=0) - [1.25, -0.25]).max() < 0.02
    assert kept.min() >= 0 and kept.max() <= 1


def resolved(**changes: object) -> Resolved:
    settings = TINY | SMALL | {"purpose": "finetune", "mixup": 0, "cutmix": 0} | changes
    return TrainConfig(**settings).resolve(num_samples=16)


def test_an_image_is_mixed_by_its_key(pictures: Path) -> None:
    image = torch.arange(3 * 32 * 32, dtype=torch.int32).view(3, 32, 32).to(torch.uint8)
    mixing = PixMix(open_pictures(str(pictures)), resolved(pixmix=str(pictures)))

    def drawn(key: int, pixels: torch.Tensor = image) -> torch.Tensor:
        seed_cpu(Key(0, "augment", (0, key, 0)))
        return mixing(pixels)

    results = [drawn(key) for key in range(30)]
    assert all(torch.equal(drawn(key), results[key]) for key in (7, 3))
    assert all(one.shape == (3, 32, 32) and one.dtype == torch.uint8 for one in results)
    same = sum(torch.equal(one, image) for one in results)
    assert 0 < same < 12  # no rounds, and not from a copy: one in ten
    gray = [drawn(key, image[:1]).shape[0] for key in range(60)]
    assert set(gray) == {1, 3}  # gray until a color picture comes
    without = PixMix(open_pictures(str(pictures)), resolved(pixmix=str(pictures), pixmix_k=0))
    seed_cpu(Key(0, "augment"))
    assert {without(image[:1]).shape[0] for _ in range(20)} == {1}


def test_pictures_are_files_or_images_of_a_dataset(pictures: Path, dataset: Path) -> None:
    files = open_pictures(str(pictures))
    assert files.count == 6
    sizes = {files.read(number).size for number in range(6)}  # type: ignore[union-attr]
    assert sizes == {(70, 40 + 9 * number) for number in range(6)}
    shards = open_pictures(str(dataset))
    assert shards.count == 32
    images = {np.asarray(shards.read(number)).tobytes() for number in range(32)}
    assert len(images) == 32
    for wrong, sentence in (("nowhere", "there is no folder"), (pictures.parent / "x", "holds no")):
        if wrong != "nowhere":
            Path(wrong).mkdir()
        with pytest.raises(UsageError, match=sentence):
            open_pictures(str(wrong))


def test_pixmix_replaces_mixup_unless_asked(pictures: Path, digits: Path, tmp_path: Path) -> None:
    """The same run with any workers; another one with other pictures."""
    recipe = write_recipe(
        tmp_path / "r.yaml",
        **(SCRATCH | {"mixup": 0.8, "cutmix": 1.0, "log_every": 1}),
    )
    losses = []
    for number, flags in enumerate(
        [
            ("--pixmix", pictures, "--workers", 0),
            ("--pixmix", pictures, "--workers", 1),
            ("--pixmix", pictures / "deeper", "--workers", 0, "--mixup", 0.4),
        ]
    ):
        out = tmp_path / str(number)
        result = run(
            "finetune", "--recipe", recipe, "--from-scratch", "--data", digits, "--output", out,
            "--steps", 3, "--warmup-steps", 1, *flags,
        )  # fmt: skip
        assert result.exit_code == 0, (result.output, result.exception)
        lines = (out / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
        args = yaml.safe_load((out / "args.yaml").read_text())
        assert (args["mixup"], args["cutmix"]) == (0.4 if number == 2 else 0.0, 0.0)
        assert f"PixMix with {3 if number == 2 else 6} pictures of {pictures}" in result.output
    assert losses[0] == losses[1] != losses[2]


def test_other_pictures_do_not_continue_a_run(pictures: Path, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.png").write_bytes((pictures / "0.png").read_bytes())
    recipe = write_recipe(tmp_path / "r.yaml", **SCRATCH)
    arguments = [
        "finetune", "--recipe", recipe, "--from-scratch", "--data", digits, "--steps", 2,
        "--warmup-steps", 1, "--workers", 0, "--pixmix", folder, "--output", tmp_path / "out",
    ]  # fmt: skip
    assert run(*arguments).exit_code == 0
    assert run(*arguments, "--resume", "auto").exit_code == 0
    (folder / "b.png").write_bytes((pictures / "2.png").read_bytes())
    refused = run(*arguments, "--resume", "auto")
    assert refused.exit_code == 2
    assert "was trained on other data" in refused.stderr


def test_pixmix_is_for_fine_tuning(pictures: Path, dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml")
    refused = run(
        "pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out",
        "--pixmix", pictures,
    )  # fmt: skip
    assert refused.exit_code == 2
    assert "pixmix: is for fine-tuning; leave it out" in refused.stderr


@pytest.mark.parametrize("setting", [{"pixmix": "x"}, {"pattern": 0.5}, {"texture": 0.5}])
def test_masks_are_not_mixed(setting: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="is for images without masks; leave it out"):
        resolved(decoder="linear", mixup=0, cutmix=0, **setting)
