"""Pictures to mix into training images, taken by number; their labels are of no account."""

import bisect
from collections import Counter
from itertools import accumulate
from pathlib import Path

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import KINDS
from fdsl_train.data.locate.dataset import location_of
from fdsl_train.data.sources.base import Picture, Pictures, Source
from fdsl_train.data.sources.formula import FormulaData
from fdsl_train.data.sources.image_folder import read_image
from fdsl_train.data.sources.image_walk import ImageFile, images_below


class PictureFiles:
    """All image files below a folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"pixmix: there is no folder {folder}; it takes one with pictures")
        self.name = str(folder)
        self._files: list[ImageFile] = images_below(folder, folder, Counter())
        if not self._files:
            raise UsageError(f"pixmix: {folder} holds no images ({KINDS})")
        self.count = len(self._files)
        self.digest = settings.digest(
            [[str(file.path.relative_to(folder)), file.size] for file in self._files]
        )

    def read(self, number: int) -> Picture:
        """See ``Pictures``."""
        return read_image(self._files[number].path)


class PicturesOfSource:
    """The images of a source, whatever their labels."""

    def __init__(self, source: Source) -> None:
        self.name, self.digest = source.name, source.digest
        self._source = source
        self._ends = list(accumulate(source.shard_sizes))
        self.count = self._ends[-1]

    def read(self, number: int) -> Picture:
        """See ``Pictures``."""
        shard = bisect.bisect_right(self._ends, number)
        row = number - (self._ends[shard] - self._source.shard_sizes[shard])
        return self._source.read_sample(shard, row).image


def open_pictures(place: str) -> Pictures:
    """The pictures at a place: files at any depth of a folder, a dataset of ours, or a recipe.

    Raises:
        UsageError: if there are none.
    """
    location = location_of(place)
    if location.recipe is not None:
        drawn = FormulaData(location.recipe).split("train")
        drawn.prepare()
        return PicturesOfSource(drawn)
    if location.is_ours:
        return PicturesOfSource(location.split(location.manifest(), "train"))
    return PictureFiles(Path(place))
