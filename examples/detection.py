"""Train a Mask R-CNN on instances, with an encoder that was pre-trained on formulas.

    python examples/detection.py --encoder runs/pretrain/export --data inscore/ --epochs 12

``--data`` is a dataset of instances of fdsl-gen, or a folder in COCO's format (``images/`` and
``annotations.json``), as ``fdsl-gen export --coco`` writes it. ``--val`` is another one to measure
on; without it the validation split, or ``annotations_validation.json``, is taken. The model is
torchvision's Mask R-CNN on the feature pyramid of any encoder of timm that has one (ResNet,
ConvNeXt, Swin); the measure is COCO's average precision by pycocotools.
"""

import argparse
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from timm.layers import freeze_batch_norm_2d
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fdsl_gen import open_dataset
from fdsl_gen.archive.label_types.instances import annotations

STRIDES = [4, 8, 16, 32]  # of the maps that the pyramid is built on
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Instances(Dataset):
    """Images and their instances: float32 (3, H, W) in 0..1, and what torchvision wants to know.

    Attributes:
        ids: of the images.
        categories: by COCO's id, as they are numbered here: from 1, 0 is the background.
    """

    def __init__(self, ids, categories, read):
        self.ids = ids
        self.categories = categories
        self._read = read

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, number):
        image, found = self.image_and_annotations(number)
        height, width = image.shape[:2]
        masks = [decode(one["segmentation"], height, width) for one in found]
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in found)]
        target = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor(
                [self.categories[one["category_id"]] for one in found], dtype=torch.int64
            ),
            "masks": torch.from_numpy(np.stack(masks) if masks else np.zeros((0, height, width))),
        }
        target["masks"] = target["masks"].to(torch.uint8)
        return torch.from_numpy(image).permute(2, 0, 1).float() / 255, target

    def image_and_annotations(self, number):
        """RGB, uint8 (H, W, 3), and COCO's annotations of its instances, crowds left out."""
        return self._read(self.ids[number])


def decode(segmentation, height, width):
    """A mask from run lengths or polygons, uint8 (H, W)."""
    if isinstance(segmentation, list):
        parts = run_lengths.frPyObjects(segmentation, height, width)
        return run_lengths.decode(run_lengths.merge(parts))
    if isinstance(segmentation["counts"], list):
        segmentation = run_lengths.frPyObjects(segmentation, height, width)
    return run_lengths.decode(segmentation)


def open_instances(folder: Path, split: str) -> Instances | None:
    """The images of a split; None if the folder has no such split."""
    if (folder / "manifest.json").exists():
        return _of_dataset(folder, split)
    name = "annotations.json" if split == "train" else f"annotations_{split}.json"
    return _of_coco(folder, folder / name) if (folder / name).exists() else None


def _of_dataset(folder: Path, split: str) -> Instances | None:
    dataset = open_dataset(folder)
    if dataset.manifest.task != "instances":
        raise SystemExit(f"{folder} is a {dataset.manifest.task} dataset, not one of instances")
    if split not in dataset.manifest.splits:
        return None
    before = 0
    for name, entry in dataset.manifest.splits.items():
        if name == split:
            break
        before += entry.num_samples
    ids = range(before, before + dataset.manifest.splits[split].num_samples)

    def read(number):
        sample = dataset[f"{number:08d}"]
        image = sample.image if sample.image.ndim == 3 else np.stack([sample.image] * 3, axis=2)
        return image, annotations(sample.target)

    categories = {c + 1: c + 1 for c in range(dataset.manifest.num_classes)}
    return Instances(list(ids), categories, read)


def _of_coco(folder: Path, file: Path) -> Instances:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))

    def read(number):
        with Image.open(folder / "images" / coco.imgs[number]["file_name"]) as image:
            pixels = np.array(image.convert("RGB"))
        found = coco.loadAnns(coco.getAnnIds(imgIds=[number], iscrowd=False))
        return pixels, [one for one in found if min(one["bbox"][2:]) > 0]

    categories = {category: k + 1 for k, category in enumerate(sorted(coco.getCatIds()))}
    return Instances(sorted(coco.getImgIds()), categories, read)


class Pyramid(nn.Module):
    """An encoder of timm under a feature pyramid of ``out_channels`` channels."""

    def __init__(self, body: nn.Module, out_channels: int = 256):
        super().__init__()
        self.body = body
        self.out_channels = out_channels
        self.pyramid = FeaturePyramidNetwork(
            body.feature_info.channels(), out_channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, images):
        maps = self.body(images)
        channels = self.body.feature_info.channels()
        named = {
            str(k): one if one.shape[1] == count else one.permute(0, 3, 1, 2)  # Swin: channels last
            for k, (one, count) in enumerate(zip(maps, channels, strict=True))
        }
        return self.pyramid(named)


def build(encoder: str, num_classes: int, img_size: int) -> MaskRCNN:
    """Mask R-CNN with an encoder from an export of fdsl-train, or a name of timm for scratch."""
    trained = Path(encoder).is_dir()
    name = f"local-dir:{encoder}" if trained else encoder
    body = timm.create_model(name, pretrained=trained, features_only=True)
    strides = body.feature_info.reduction()
    if strides[-4:] != STRIDES:
        raise SystemExit(f"{encoder} gives no pyramid: its maps have the strides {strides}")
    body = timm.create_model(
        name, pretrained=trained, features_only=True, out_indices=(-4, -3, -2, -1)
    )
    if trained:  # their statistics are better than those of a few images
        body = freeze_batch_norm_2d(body)
    return MaskRCNN(
        Pyramid(body),
        num_classes,
        min_size=img_size,
        max_size=2 * img_size,
        image_mean=MEAN,
        image_std=STD,
    )


def train(model, data, *, epochs, batch_size, lr, device, workers):
    """Train with AdamW and a cosine schedule; prints the mean loss of every epoch."""
    loader = DataLoader(
        data, batch_size, shuffle=True, collate_fn=lambda rows: tuple(zip(*rows, strict=True)),
        num_workers=workers,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for images, targets in loader:
            images = [image.to(device) for image in images]
            targets = [{name: one.to(device) for name, one in t.items()} for t in targets]
            loss = sum(model(images, targets).values())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(loader):.4f}", flush=True)


@torch.no_grad()
def measure(model, data, *, device) -> dict[str, float]:
    """COCO's average precision of boxes and masks: AP, AP50 and AP75 of each."""
    truth = {"images": [], "annotations": [], "info": {}, "licenses": []}
    truth["categories"] = [{"id": c, "name": str(c)} for c in data.categories.values()]
    found = []
    model.eval()
    for number, image_id in enumerate(data.ids):
        pixels, listed = data.image_and_annotations(number)
        height, width = pixels.shape[:2]
        truth["images"].append({"id": image_id, "height": height, "width": width})
        for one in listed:
            own = {"id": len(truth["annotations"]) + 1, "image_id": image_id, "iscrowd": 0}
            own["category_id"] = data.categories[one["category_id"]]
            truth["annotations"].append(one | own)
        (answer,) = model([data[number][0].to(device)])
        masks = (answer["masks"][:, 0] > 0.5).cpu().numpy().astype(np.uint8)
        for box, label, score, mask in zip(
            answer["boxes"].tolist(), answer["labels"].tolist(), answer["scores"].tolist(), masks,
            strict=True,
        ):  # fmt: skip
            left, top, right, bottom = box
            runs = run_lengths.encode(np.asfortranarray(mask))
            found.append(
                {
                    "image_id": image_id,
                    "category_id": label,
                    "bbox": [left, top, right - left, bottom - top],
                    "score": score,
                    "segmentation": runs,
                }
            )
    return average_precision(truth, found)


def average_precision(truth: dict, found: list[dict]) -> dict[str, float]:
    """AP, AP50 and AP75 of boxes and of masks; 0 where nothing was found."""
    names = [f"{kind}/{name}" for kind in ("bbox", "segm") for name in ("AP", "AP50", "AP75")]
    if not found:
        return dict.fromkeys(names, 0.0)
    values = []
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(coco, coco.loadRes(found), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            values += [max(float(value), 0.0) for value in evaluation.stats[:3]]
    return dict(zip(names, values, strict=True))


def main(args=None) -> dict[str, float]:
    """Train, measure, and write ``detection.json`` and ``detection.pt``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True, help="export of fdsl-train, or timm's name")
    parser.add_argument("--data", type=Path, required=True, help="dataset, or folder as COCO's")
    parser.add_argument("--val", type=Path, help="another one to measure on")
    parser.add_argument("--output", type=Path, default=Path("runs/detection"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--img-size", type=int, default=512, help="shorter side of images")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(args)
    torch.manual_seed(given.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = open_instances(given.data, "train")
    val = open_instances(given.val, "train") if given.val else None
    val = val or open_instances(given.data, "validation")
    if data is None or val is None:
        raise SystemExit(f"{given.data} has no images to train or to measure on; see --help")
    model = build(given.encoder, len(data.categories) + 1, given.img_size).to(device)
    how = {"epochs": given.epochs, "batch_size": given.batch_size, "lr": given.lr}
    train(model, data, **how, device=device, workers=given.workers)
    measured = measure(model, val, device=device)
    given.output.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), given.output / "detection.pt")
    (given.output / "detection.json").write_text(json.dumps(measured, indent=1) + "\n")
    print(" ".join(f"{name} {value:.4f}" for name, value in measured.items()))
    return measured


if __name__ == "__main__":
    main()
