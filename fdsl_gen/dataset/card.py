"""What other tools read in a dataset folder: the card for people and hubs, and timm's index."""

from typing import Any

import yaml

from fdsl_gen import __version__
from fdsl_gen.archive.manifest import Manifest
from fdsl_gen.recipe.recipe import Recipe

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def timm_info(manifest: Manifest) -> dict[str, Any]:
    """The content of ``_info.json``, from which timm's ``wds`` reader takes shards and counts."""
    splits = {}
    for name, split in manifest.splits.items():
        splits[name] = {
            "name": name,
            "num_samples": split.num_samples,
            "filenames": [shard.file for shard in split.shards],
            "shard_lengths": [shard.samples for shard in split.shards],
        }
    return {"splits": splits}


def _front_matter(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    label_type = manifest.label_type
    names = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    features = [*names, {"name": "png", "dtype": {"image": {"mode": "RGB"}}}]
    features.append(dict(label_type.card_feature))
    if recipe.variant.has_points:
        features.append({"name": "npy", "sequence": {"sequence": "float32"}})
    splits = [
        {
            "name": name,
            "num_bytes": sum(shard.bytes for shard in split.shards),
            "num_examples": split.num_samples,
        }
        for name, split in manifest.splits.items()
    ]
    files = [{"split": name, "path": f"{recipe.name}-{name}-*.tar"} for name in manifest.splits]
    total = sum(split.num_samples for split in manifest.splits.values())
    size = next((text for limit, text in _SIZES if total < limit), "n>1M")
    front: dict[str, Any] = {
        "license": recipe.license,
        "task_categories": [label_type.hub_task],
        "tags": ["formula-driven-supervised-learning", "synthetic", "webdataset"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    if not recipe.metadata:  # with it, the loader reads the features from the files
        front["dataset_info"] = {"features": features, "splits": splits}
    return front


def _origin(recipe: Recipe) -> str:
    if "source" in recipe.variant.inputs:
        return "all made from one picture by formulas; the picture is `__meta__/source.png`"
    return "drawn from formulas: no photograph was used"


def _members(recipe: Recipe) -> str:
    points = ", and a `.npy` with points of its model, float32 (N, 3)"
    return recipe.variant.LABEL_TYPE.card_text + (points if recipe.variant.has_points else "")


def card(recipe: Recipe, manifest: Manifest) -> str:
    """The content of ``README.md``: YAML for hubs, then text for people."""
    front = yaml.safe_dump(_front_matter(recipe, manifest), sort_keys=False)
    image = manifest.image
    total = sum(split.num_samples for split in manifest.splits.values())
    shards = sum(len(split.shards) for split in manifest.splits.values())
    size = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
    as_yaml = yaml.safe_dump(recipe.to_dict(), sort_keys=False).rstrip()
    return f"""---
{front}---

# {recipe.name}

![preview](preview.png)

{total:,} images of {image.width}x{image.height} pixels in {manifest.num_classes:,} categories,
{_origin(recipe)}. {shards} WebDataset shards, {size / 1e6:.1f} MB.

Every sample is a `.png` and {_members(recipe)}. Open it with

```python
import webdataset
dataset = webdataset.WebDataset("{manifest.splits["train"].shards[0].file}")

import datasets
dataset = datasets.load_dataset("DIR")
```

## Made by

fdsl {__version__}, from this recipe (content digest `{manifest.content_digest}`):

```yaml
{as_yaml}
```

`fdsl-gen run recipe.yaml --out DIR` makes the same images again.

## Citation

```bibtex
{recipe.variant.CITATION}
```
"""
