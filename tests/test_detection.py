"""The example that trains a Mask R-CNN: on a dataset and on a COCO folder, with our encoder."""

import importlib.util
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import fdsl_train
from fdsl_gen import generate, load_recipe
from fdsl_gen.dataset.coco import export_coco
from tests import ROOT

pytestmark = [
    pytest.mark.train,
    pytest.mark.slow,
    # pycocotools 2.0.11 converts arrays as numpy 1 wanted it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SMALL = {"image_size": 64, "num_categories": 2, "num_contours_max": 4, "num_objects_max": 3}


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors this small are computed faster by one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def detection():
    spec = importlib.util.spec_from_file_location("detection", ROOT / "examples/detection.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small dataset of instances, the same in COCO's format, and an encoder."""
    out = tmp_path_factory.mktemp("detection")
    counts = {"num_images": 5, "validation_instances": 2, "num_shards": 2}
    generate(load_recipe("inscore", **SMALL, **counts), out / "set", workers=1)
    export_coco(out / "set", out / "coco", lambda count: None)
    shards = load_recipe("fractaldb-60", num_categories=4, num_instances=4, image_size=32)
    generate(shards, out / "shards", workers=1)
    settings = {"model": "test_convnext", "img_size": 32, "steps": 2, "global_batch_size": 8}
    settings |= dict.fromkeys(("patch_size", "embed_dim", "depth", "num_heads"))
    settings |= {"warmup_steps": 1, "workers": 0, "decoded_cache": 0, "drop_path": 0.0}
    fdsl_train.pretrain(out / "shards", out / "run", recipe="cpu_smoke", **settings)
    return out


def test_it_trains_and_measures_on_both(detection, folder, tmp_path, capsys):
    for name, epochs in (("set", 5), ("coco", 1)):
        words = ["--encoder", folder / "run/export", "--data", folder / name]
        words += ["--epochs", epochs, "--batch-size", 3, "--img-size", 64, "--lr", 3e-4]
        measured = detection.main([str(word) for word in (*words, "--output", tmp_path / name)])
        losses = [float(loss) for loss in re.findall(r"loss (\S+)", capsys.readouterr().out)]
        assert len(losses) == epochs
        assert epochs == 1 or losses[-1] < losses[0]
        assert json.loads((tmp_path / name / "detection.json").read_text()) == measured
        assert (tmp_path / name / "detection.pt").exists()
        assert set(measured) == {
            f"{kind}/{what}" for kind in ("bbox", "segm") for what in ("AP", "AP50", "AP75")
        }


def test_both_kinds_of_folder_give_the_same_targets(detection, folder):
    for split, count in (("train", 3), ("validation", 2)):
        one, other = (detection.open_instances(folder / name, split) for name in ("set", "coco"))
        assert len(one) == len(other) == count
        for number in range(count):
            (image, target), (same, expected) = one[number], other[number]
            assert torch.equal(image, same)
            assert target.keys() == expected.keys()
            assert all(torch.equal(target[name], expected[name]) for name in target)
            assert target["masks"].shape == (len(target["labels"]), 64, 64)
            for box, mask in zip(target["boxes"].tolist(), target["masks"], strict=True):
                rows, columns = np.nonzero(mask.numpy())
                assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_the_encoder_is_the_trained_one(detection, folder):
    weights = load_file(folder / "run/export/model.safetensors")
    model = detection.build(str(folder / "run/export"), 3, 64)
    body = model.backbone.body.state_dict()
    matched = [name for name in body if name.replace("stages_", "stages.") in weights]
    stem = body["stem_0.weight"]
    assert torch.equal(stem, weights["stem.0.weight"])
    assert len(matched) > len(body) // 2
    for name in matched:
        assert torch.equal(body[name], weights[name.replace("stages_", "stages.")])
    assert not torch.equal(
        stem, detection.build("test_convnext", 3, 64).backbone.body.state_dict()["stem_0.weight"]
    )


def test_average_precision_of_the_truth_is_one(detection, folder):
    data = detection.open_instances(folder / "coco", "train")
    truth = {"images": [], "annotations": [], "info": {}, "licenses": []}
    truth["categories"] = [{"id": c, "name": str(c)} for c in (1, 2)]
    found = []
    for number, image_id in enumerate(data.ids):
        truth["images"].append({"id": image_id, "height": 64, "width": 64})
        for one in data.image_and_annotations(number)[1]:
            truth["annotations"].append(one)
            runs = detection.run_lengths.frPyObjects(one["segmentation"], 64, 64)
            answer = {"image_id": image_id, "category_id": one["category_id"], "score": 0.9}
            found.append(answer | {"bbox": one["bbox"], "segmentation": runs})
    assert set(detection.average_precision(truth, found).values()) == {1.0}
    assert set(detection.average_precision(truth, []).values()) == {0.0}


def test_what_is_no_set_of_instances(detection, folder, tmp_path):
    for data, words in ((folder / "shards", "is a single dataset"), (tmp_path, "has no images")):
        with pytest.raises(SystemExit, match=words):
            detection.main(["--encoder", "test_convnext", "--data", str(data)])
    with pytest.raises(SystemExit, match="gives no pyramid"):
        detection.build("vit_tiny_patch16_224", 3, 64)
