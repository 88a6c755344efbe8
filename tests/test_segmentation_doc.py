"""The commands of docs/segmentation.md, one after the other, made short."""

import shlex
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from experiments.segmentation import scenes
from experiments.segmentation.scenes import CLASSES, write_scenes
from experiments.segmentation.shuffle import shuffle_masks
from fdsl_gen.cli.main import cli
from fdsl_train.cli.main import main
from fdsl_train.data.sources.decoded import decode_once
from fdsl_train.data.sources.shards import open_split, read_dataset
from tests.documents import ROOT, blocks
from tests.fdsl_train.training.segment import write_masked

STAMPS = "/usr/share/tuxpaint/stamps"
SHORT = {
    "fdsl-gen segrcdb": ["--num-images", "8", "--num-shards", "1", "--workers", "1"],
    "fdsl-train pretrain": ["--steps", "2", "--warmup-steps", "0", "--workers", "0"],
    "fdsl-train finetune": ["--steps", "2", "--warmup-steps", "0", "--workers", "0"],
    "fdsl-train eval": ["--workers", "0"],
}


def write_stamps(root: Path) -> None:
    """Ellipses of a color for each class, on nothing."""
    rows, columns = np.mgrid[-1:1:40j, -1:1:50j]
    inside = (rows**2 + columns**2 < 1).astype(np.uint8)
    for label, name in enumerate(CLASSES):
        for i in range(4):
            color = np.array([60 * label, 255 - 50 * i, 40 * i, 255], np.uint8)
            path = root / name / "kind" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(inside[..., None] * color).save(path)


@pytest.mark.slow
@pytest.mark.train
def test_the_whole_way_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stamps(tmp_path / "stamps")
    monkeypatch.chdir(tmp_path)
    first = next(b for b in blocks(ROOT / "docs/segmentation.md") if b.language == "sh")
    for line in first.text.splitlines():
        words = shlex.split(line)
        if words[0] == "python":
            assert words[1:4] == ["-m", "experiments.segmentation.scenes", STAMPS]
            write_scenes(tmp_path / "stamps", Path(words[4]), train=16, val=4)
            continue
        program = cli if words[0] == "fdsl-gen" else main
        done = CliRunner().invoke(program, words[1:] + SHORT[" ".join(words[:2])])
        assert done.exit_code == 0, done.output
    assert "mean IoU" in done.output
    assert len(list(Path("seen").glob("*.png"))) == 4
    assert Path("confusion.png").stat().st_size > 1000
    rows = Path("classes.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["ground", *CLASSES, ""]


def test_settings_are_chosen_by_other_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the experiment validates on is seen by nobody before; so is what tuning validates on."""
    write_stamps(tmp_path / "stamps")
    pasted: dict[tuple[bool, str], set[str]] = {}

    def note(image: Image.Image, mask: object, path: Path, *_: object) -> None:
        pasted[tuning, part].add(path.stem)

    monkeypatch.setattr(scenes, "paste", note)
    for tuning in (False, True):
        for part, counts in (("train", {"train": 20, "val": 0}), ("val", {"train": 0, "val": 20})):
            pasted[tuning, part] = set()
            write_scenes(tmp_path / "stamps", tmp_path / "out", **counts, tuning=tuning)
    assert pasted[False, "val"] == {"0"} and pasted[False, "train"] == {"1", "2", "3"}
    assert pasted[True, "val"] == {"1"} and pasted[True, "train"] == {"2", "3"}


def test_the_control_is_another_set_of_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own, control = write_masked(tmp_path / "own"), tmp_path / "control"
    shuffle_masks(own, control)
    sources = [open_split(folder, read_dataset(folder), "train") for folder in (own, control)]
    assert sources[0].digest != sources[1].digest
    for source in sources:
        assert decode_once(source) is not None  # which compares the digests
    pairs = []
    for source in sources:
        samples = [source.read_sample(0, row) for row in range(source.shard_sizes[0])]
        pairs.append([(one.image.tobytes(), np.asarray(one.label).tobytes()) for one in samples])
    (images, masks), (same_images, others) = (zip(*pair, strict=True) for pair in pairs)
    assert images == same_images and sorted(masks) == sorted(others)
    assert all(one != other for one, other in zip(masks, others, strict=True))


def test_scenes_are_what_they_say(tmp_path: Path) -> None:
    write_stamps(tmp_path / "stamps")
    for out in ("a", "b"):
        write_scenes(tmp_path / "stamps", tmp_path / out, train=3, val=2)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(files) == 10
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with Image.open(tmp_path / "a" / "annotations" / "training" / "0000.png") as mask:
        levels = np.asarray(mask)
    assert set(np.unique(levels)) <= set(range(5)) and 0.05 < (levels > 0).mean() < 0.9
