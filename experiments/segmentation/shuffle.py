"""The control: the same images and masks, but each image with the mask of another one."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

_MASK = ".mask.png"


def shuffle_masks(dataset: Path, out: Path, *, seed: int = 0) -> None:
    """Write a copy of a dataset of ours whose masks are permuted within each shard.

    Args:
        dataset: folder of a finished dataset with masks.
        out: folder to write to.
        seed: of the permutation.
    """
    out.mkdir(parents=True)
    manifest = json.loads((dataset / "manifest.json").read_text())
    for split in manifest["splits"].values():
        for number, shard in enumerate(split["shards"]):
            with tarfile.open(dataset / shard["file"]) as tar:
                members = [(one.name, tar.extractfile(one).read()) for one in tar.getmembers()]
            masks = [content for name, content in members if name.endswith(_MASK)]
            order = np.random.default_rng([seed, number]).permutation(len(masks))
            place = {int(i): int(order[k - 1]) for k, i in enumerate(order)}  # nobody keeps its own
            given = iter(masks[place[i]] for i in range(len(masks)))
            with tarfile.open(out / shard["file"], "w", format=tarfile.USTAR_FORMAT) as tar:
                for name, content in members:
                    content = next(given) if name.endswith(_MASK) else content
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            shard["bytes"] = (out / shard["file"]).stat().st_size
    (out / "manifest.json").write_text(json.dumps(manifest))
