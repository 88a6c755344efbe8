"""Where the files of a dataset stand in it: names alone, with ``/`` between their parts.

::

    manifest.json  README.md  preview.png  _info.json      written last, the manifest after the rest
    {name}-{split}-{index:06d}.tar
    __meta__/recipe.json                                   the lock: created once, by the first run
    __meta__/source.png                                    the image it is made from, if it is
    __meta__/markers/{shard}.json                          one for each finished shard
    __meta__/index/{shard}.npy                             byte ranges (tar.py)
    __meta__/categories/shared.json                        what all categories have in common
    __meta__/categories/table.csv                          categories that were given as a table
    __meta__/categories/block-{number:06d}.npz             categories that were searched for
"""

import re
from dataclasses import dataclass

META = "__meta__"
MANIFEST = "manifest.json"
INFO = "_info.json"
PREVIEW = "preview.png"
CARD = "README.md"
ROOT_FILES = (MANIFEST, INFO, PREVIEW, CARD)
LOCK = f"{META}/recipe.json"
SOURCE_IMAGE = f"{META}/source.png"
CATEGORIES = f"{META}/categories"
SHARED = f"{CATEGORIES}/shared.json"
TABLE = f"{CATEGORIES}/table.csv"

_CATEGORY_FILE = re.compile(rf"{re.escape(CATEGORIES)}/(shared\.json|table\.csv|block-\d+\.npz)")


def is_category_file(name: str) -> bool:
    """Whether fdsl-gen gives this name to a file of categories."""
    return _CATEGORY_FILE.fullmatch(name) is not None


@dataclass(frozen=True)
class ShardPaths:
    """The files of a shard.

    Attributes:
        stem: name of the shard, without its ending.
    """

    stem: str

    @classmethod
    def of(cls, file: str) -> "ShardPaths":
        """From the name of its tar."""
        return cls(file.removesuffix(".tar"))

    @property
    def tar(self) -> str:
        return f"{self.stem}.tar"

    @property
    def marker(self) -> str:
        return f"{META}/markers/{self.stem}.json"

    @property
    def index(self) -> str:
        return f"{META}/index/{self.stem}.npy"

    @property
    def all(self) -> tuple[str, str, str]:
        return self.tar, self.index, self.marker
