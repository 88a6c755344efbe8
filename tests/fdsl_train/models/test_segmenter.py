"""Encoders of timm's with decoders: names, sizes, and weights that travel both ways."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_train import load_model
from fdsl_train.models import export
from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.architecture import (
    Architecture,
    create_model,
    encoder_of,
    freeze_backbone,
    set_training_mode,
)
from fdsl_train.models.pretrained import PretrainedWeights, read_pretrained
from fdsl_train.models.segmenter import Segmenter
from fdsl_train.training import checkpoint
from tests.fdsl_train.models.small_models import built
from tests.fdsl_train.training.segment import resolved

VIT = {"model": "vit_tiny_patch16_224", "embed_dim": 24, "depth": 2, "num_heads": 2}
SMALL: dict[str, dict[str, Any]] = {
    "dpt": VIT | {"patch_size": 16},
    "upernet": {"model": "swin_tiny_patch4_window7_224", "embed_dim": 12},
    "resnet": {"model": "resnet10t", "decoder": "upernet"},
    "linear": VIT | {"patch_size": 16, "decoder": "linear"},
}


def architecture(kind: str, **changes: Any) -> Architecture:
    settings = {"img_size": 64, "decoder_channels": 16} | SMALL[kind] | changes
    return Architecture.of(settings).segmenter()


def segmenter(kind: str, num_classes: int = 5, seed: int = 0, **changes: Any) -> Segmenter:
    model = create_model(
        architecture(kind, **changes), num_classes=num_classes, drop_path=0, seed=seed
    )
    assert isinstance(model, Segmenter)
    return model


@pytest.mark.parametrize("kind", SMALL)
def test_every_pixel_gets_logits_and_every_weight_a_gradient(kind: str) -> None:
    model = segmenter(kind)
    alone = timm.create_model(
        SMALL[kind]["model"], num_classes=0, **architecture(kind).sizes()
    ).state_dict()
    names = {name.removeprefix("encoder.") for name in model.state_dict() if "encoder." in name}
    assert names == alone.keys()  # timm's own, so that weights need no table
    logits = model(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5, 64, 64)
    logits.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.requires_grad == (weight.grad is not None), name  # or processes would wait


def test_weights_that_no_pixel_depends_on_are_not_trained() -> None:
    model = segmenter("upernet", model="convnext_atto", embed_dim=None)
    still = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert still == {"encoder.head.norm.weight", "encoder.head.norm.bias"}


def test_the_decoder_suits_the_encoder() -> None:
    assert architecture("dpt").decoder == "dpt" and architecture("upernet").decoder == "upernet"
    with pytest.raises(UsageError, match="upernet does not fit: the levels of a plain vision"):
        segmenter("dpt", decoder="upernet")
    with pytest.raises(UsageError, match="dpt does not fit: it is for plain vision transformers"):
        segmenter("upernet", decoder="dpt")
    with pytest.raises(UsageError, match=r"cannot take images of 48 px .*a multiple of 32"):
        segmenter("dpt", img_size=48, depth=4)
    with pytest.raises(UsageError, match="--task segmentation of folders with masks"):
        architecture("dpt").for_labels(dense=False)


@pytest.mark.parametrize("kind", SMALL)
def test_a_frozen_encoder_leaves_decoder_and_head(kind: str) -> None:
    model = segmenter(kind)
    freeze_backbone(model)
    set_training_mode(model, frozen=True)
    trained = {n.split(".")[0] for n, w in model.named_parameters() if w.requires_grad}
    assert trained == {"head"} if kind == "linear" else {"head", "decoder"}
    assert not any(part.training for part in model.encoder.modules())
    assert model.head.training


def saved(path: Path, model: nn.Module, arch: Architecture, num_classes: int) -> PretrainedWeights:
    config = resolved(path.parent, **vars(arch)).to_dict()
    payload = {"config": config, "num_classes": num_classes, "class_names": None, "step": 1}
    checkpoint.save(path, payload | {"model": model.state_dict()})
    return read_pretrained(path)


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    same = left.keys() == right.keys()
    return same and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet10t"]
)
def test_weights_travel_from_classes_to_masks_and_back(tmp_path: Path, name: str) -> None:
    classifier = built(name)
    kind = {"vit_tiny_patch16_224": "dpt", "swin_tiny_patch4_window7_224": "upernet"}
    own = architecture(kind.get(name, "resnet"), depth=1 if "vit" in name else None)
    trained = saved(tmp_path / "c.pth.tar", classifier, own.classifier(), 5)
    dense = build_from_pretrained(
        trained, num_classes=7, architecture=own, keep_decoder=False, seed=3
    )
    theirs, encoder = classifier.state_dict(), encoder_of(dense).state_dict()
    assert all(torch.equal(encoder[name], theirs[name]) for name in encoder)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(
            classifier.eval().forward_features(images),  # type: ignore[operator]
            encoder_of(dense).eval().forward_features(images),  # type: ignore[operator]
        )
    back = build_from_pretrained(
        saved(tmp_path / "d.pth.tar", dense, own, 7), num_classes=5, architecture=own.classifier()
    )
    returned = back.state_dict()
    assert all(torch.equal(returned[name], value) for name, value in encoder.items())
    assert returned.keys() == theirs.keys()


def test_the_decoder_stays_where_it_is_wanted(tmp_path: Path) -> None:
    model, arch = segmenter("dpt", seed=1), architecture("dpt")
    trained = saved(tmp_path / "s.pth.tar", model, arch, 5)
    parts = {}
    for keep in (True, False):
        new = build_from_pretrained(trained, num_classes=3, keep_decoder=keep, seed=9)
        assert equal(encoder_of(new).state_dict(), model.encoder.state_dict())
        parts[keep] = new.state_dict()
        assert new.state_dict()["head.weight"].shape[0] == 3
    name = "decoder.decoder.fusion_blocks.0.project.weight"
    assert torch.equal(parts[True][name], model.state_dict()[name])
    assert not torch.equal(parts[False][name], model.state_dict()[name])
    whole = build_from_pretrained(trained)
    assert equal(whole.state_dict(), model.state_dict())
    turned = build_from_pretrained(trained, labels=[4, 0, 1, 2, 3])
    assert torch.equal(turned.state_dict()["head.weight"], model.head.weight[[4, 0, 1, 2, 3]])
    with pytest.raises(UsageError, match="their decoder is dpt"):
        other = architecture("linear")
        build_from_pretrained(trained, num_classes=3, architecture=other, keep_decoder=True)


@pytest.mark.parametrize("kind", SMALL)
def test_an_export_holds_the_encoder_for_timm_and_all_for_us(tmp_path: Path, kind: str) -> None:
    model, arch = segmenter(kind), architecture(kind)
    config = resolved(tmp_path, **vars(arch), eval_mode="slide", short_side=96)
    folder = export.export(tmp_path, model, config, ("a", "b", "c", "d", "e"), None)
    again = load_model(folder)
    assert isinstance(again, Segmenter) and equal(again.state_dict(), model.state_dict())
    assert again.pretrained_cfg["label_names"] == ["a", "b", "c", "d", "e"]
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images), model.eval()(images))
    trained = read_pretrained(folder)
    assert (trained.inputs.eval_mode, trained.inputs.short_side) == ("slide", 96)
    encoder = load_model(folder, num_classes=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of timm
        timms = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    assert equal(timms.state_dict(), model.encoder.state_dict())
    assert equal(encoder.state_dict(), model.encoder.state_dict())


def test_a_changed_export_is_refused(tmp_path: Path) -> None:
    model, arch = segmenter("linear"), architecture("linear")
    folder = export.export(tmp_path, model, resolved(tmp_path, **vars(arch)), None, None)
    place = folder / export.SEGMENTER_CONFIG
    place.write_text(json.dumps(json.loads(place.read_text()) | {"num_classes": 4}))
    with pytest.raises(Mismatch, match=r"do not fit the digest in segmenter\.json"):
        read_pretrained(folder)
