"""The control: the same images and masks, but each image with the mask of another one."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np

from fdsl_gen.archive import png
from fdsl_gen.archive.sample import digest_text, sample_digest

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
                members = {one.name: tar.extractfile(one).read() for one in tar.getmembers()}
            names = [name for name in members if name.endswith(_MASK)]
            order = np.random.default_rng([seed, number]).permutation(len(names)).tolist()
            given = [members[names[order[k - 1]]] for k in range(len(names))]
            members |= {names[i]: mask for i, mask in zip(order, given, strict=True)}
            with tarfile.open(out / shard["file"], "w", format=tarfile.USTAR_FORMAT) as tar:
                for name, content in members.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            written = (out / shard["file"]).read_bytes()
            shard["bytes"], shard["sha256"] = len(written), hashlib.sha256(written).hexdigest()
            total = sum(_digest(name.removesuffix(_MASK), members) for name in names)
            shard["content_digest"] = digest_text(total)
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    whole = sum(int(shard["content_digest"], 16) for shard in shards)
    manifest["content_digest"] = digest_text(whole)
    (out / "manifest.json").write_text(json.dumps(manifest))


def _digest(key: str, members: dict[str, bytes]) -> int:
    """Of a sample: a copy with the old digests would be taken for the set that it was made from."""
    image, mask = (png.decode(members[key + ending]) for ending in (".png", _MASK))
    return sample_digest(key, (), image, mask)
