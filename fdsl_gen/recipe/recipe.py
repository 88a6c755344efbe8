"""A recipe: everything that decides the bytes of a dataset, and its two digests."""

import dataclasses
import json
import re
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from fdsl_gen.archive.png import Encoding
from fdsl_gen.archive.sample import SampleFormat, members_of
from fdsl_gen.core import recipe_files, settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import MAX_SEED
from fdsl_gen.core.settings import setting
from fdsl_gen.variants import variant_class
from fdsl_gen.variants.base import Variant

Split = Literal["train", "validation"]

SCHEMA = 1
MAX_SHARD_BYTES = 128_000_000
_MANY = 10_000_000

# Overrides of these make a recipe's own shard count meaningless.
_COUNTS = {"num_categories", "num_instances", "num_images", "validation_instances"}


def _auto_shards(num_samples: int, sample_bytes: int) -> int:
    """At most 128 MB a shard, a multiple of 8, at most 8,192 and never more than samples."""
    needed = -(-num_samples * sample_bytes // MAX_SHARD_BYTES)
    return min(-(-needed // 8) * 8, 8192, num_samples)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A dataset, fully described. Made by :func:`load_recipe`."""

    name: str = setting(doc="name of the dataset and of its files")
    variant: Variant = setting(doc="kind of dataset and its settings")
    num_categories: int = setting(doc="number of categories", low=1, high=_MANY)
    num_shards: int | None = setting(
        None,
        doc="number of training shards (chosen by size if not given)",
        low=1,
        high=999_999,
        derived="num_train_shards",
    )
    schema: int = setting(SCHEMA, doc="version of this format", low=1)
    seed: int = setting(0, doc="dataset seed", low=0, high=MAX_SEED - 1)
    num_instances: int = setting(1, doc="images per category", low=1, high=_MANY)
    num_images: int = setting(
        0, doc="images of a scene set, instead of instances", low=0, high=1000 * _MANY
    )
    validation_instances: int = setting(
        0, doc="how many instances (or images), the last ones, form a validation split", low=0
    )
    views_per_sample: int = setting(
        1, doc="training takes one of so many neighboring instances at each visit", low=1
    )
    encoding: Encoding = setting("gray8", doc="PNG encoding")
    metadata: bool = setting(False, doc="write a .json with the parameters of every image")
    train_recipe: str | None = setting(None, doc="training recipe that fits the dataset")
    license: str = setting("mit", doc="license of the images, for the dataset card")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise UsageError(
                f"name: must be letters, digits and . _ - only, at most 100, not {self.name!r}"
            )
        most = self.variant.max_instances
        if most is not None and self.num_instances > most:
            raise UsageError(
                f"num_instances: a category of {self.variant.KIND} has {most}"
                f" with these settings, not {self.num_instances}"
            )
        if (self.num_images > 0) != self.variant.SCENE:
            what = "needs a" if self.variant.SCENE else "has no"
            raise UsageError(f"num_images: {self.variant.KIND} {what} number of images")
        if self.variant.SCENE and self.num_instances > 1:
            raise UsageError("num_instances: a scene set has num_images instead")
        limit = self.variant.LABEL_TYPE.max_categories
        if limit is not None and self.num_categories > limit:
            raise UsageError(
                f"num_categories: masks tell at most {limit} apart, not {self.num_categories}"
            )
        if self.validation_instances >= self.run_length and self.validation_instances > 0:
            raise UsageError(
                f"validation_instances: must be less than the {self.run_length} there are,"
                f" not {self.validation_instances}"
            )
        if (
            self.run_length % self.views_per_sample
            or self.validation_instances % self.views_per_sample
        ):
            raise UsageError(
                f"views_per_sample: must divide the {self.run_length} instances of every split,"
                f" not {self.views_per_sample}"
            )
        if self.num_shards is not None and self.num_shards > self.num_train_samples:
            raise UsageError(
                f"num_shards: must be at most the number of samples ({self.num_train_samples}),"
                f" not {self.num_shards}"
            )
        image = self.variant.image
        if self.encoding == "compact" and (image.levels is None or len(image.levels) != 2):
            raise UsageError("encoding: compact needs images of two levels")
        if image.channels == 3 and self.encoding != "rgb8":
            raise UsageError("encoding: colored images need rgb8")

    def __repr__(self) -> str:
        """The settings that differ from their defaults, as YAML that ``fdsl-gen run`` takes."""
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text.rstrip()

    @property
    def run_length(self) -> int:
        """Instances of a category, or images of a scene set: what splits divide."""
        return self.num_images or self.num_instances

    @property
    def num_runs(self) -> int:
        """Categories, or 1 for a scene set: how often a run stands in the dataset."""
        return 1 if self.variant.SCENE else self.num_categories

    @property
    def num_train_samples(self) -> int:
        """Images in the training split."""
        return self.num_runs * (self.run_length - self.validation_instances)

    @property
    def num_train_shards(self) -> int:
        """Shards of the training split: as given, or chosen by their size."""
        if self.num_shards is not None:
            return self.num_shards
        return _auto_shards(self.num_train_samples, self.estimated_bytes(1))

    def instances_of(self, split: Split) -> range:
        """Instances of a category (or images) that belong to a split: the last ones validate."""
        border = self.run_length - self.validation_instances
        return range(border) if split == "train" else range(border, self.run_length)

    def num_shards_of(self, split: Split) -> int:
        """Shards of a split: as given or by size for training, in proportion for validation."""
        if split == "train":
            return self.num_train_shards
        held_out = len(self.instances_of(split))
        share = -(-self.num_train_shards * held_out // len(self.instances_of("train")))
        return min(share, self.num_runs * held_out)

    @property
    def num_samples(self) -> int:
        """Images in all splits."""
        return self.num_runs * self.run_length

    def estimated_bytes(self, num_samples: int) -> int:
        """Rough size of so many samples on disk."""
        return num_samples * self.variant.nominal_bytes(self.num_categories)

    @property
    def num_classes(self) -> int:
        """Labels are 0 .. num_classes - 1; in masks, 0 is the background."""
        return self.variant.LABEL_TYPE.num_classes(self.num_categories)

    @property
    def sample_format(self) -> SampleFormat:
        """How samples stand in the shards."""
        label_type, image = self.variant.LABEL_TYPE, self.variant.image
        points = self.variant.has_points
        members = members_of(label_type, metadata=self.metadata, points=points)
        size = (image.height, image.width)
        return SampleFormat(label_type, members, size, image.channels, self.encoding, image.levels)

    def to_dict(self, *, defaults: bool = False) -> dict[str, Any]:
        """The recipe as it would stand in YAML; ``defaults`` says whether to keep defaults."""
        data = settings.to_dict(self, defaults=defaults)
        values = settings.to_dict(self.variant, defaults=defaults)
        return data | {"schema": self.schema, "variant": {"kind": self.variant.KIND} | values}

    @property
    def identity(self) -> str:
        """Digest of all that pixels and labels depend on, besides (category, instance)."""
        parts = {
            "kind": self.variant.KIND,
            "revision": self.variant.revision,
            "seed": self.seed,
            "settings": settings.to_dict(self.variant, defaults=False, identity=True),
        }
        if self.variant.uses_num_categories:
            parts["num_categories"] = self.num_categories
        return settings.digest(parts)

    def lock_bytes(self) -> bytes:
        """The content of the ``recipe.json`` of its dataset."""
        return lock_bytes(self.to_dict(), self.identity, self.recipe_digest)

    @property
    def recipe_digest(self) -> str:
        """Digest of the identity and of all that the bytes on disk depend on besides it."""
        files = (
            "num_categories",
            "num_instances",
            "num_images",
            "validation_instances",
            "encoding",
            "metadata",
            "views_per_sample",
        )
        values = {name: getattr(self, name) for name in files}
        own = {"identity": self.identity, "schema": self.schema}
        return settings.digest(values | own | {"num_shards": self.num_train_shards})


def lock_bytes(recipe: dict[str, Any], identity: str, recipe_digest: str) -> bytes:
    """The content of the ``recipe.json`` of a dataset, which says whose its place is.

    Args:
        recipe: as it would stand in YAML.
        identity, recipe_digest: its digests.
    """
    lock = {"recipe": recipe, "identity": identity, "recipe_digest": recipe_digest}
    return (json.dumps(lock, indent=1, allow_nan=False) + "\n").encode()


def recipe_from_dict(data: Any, path: str) -> Recipe:
    """A recipe from the content of its YAML.

    Raises:
        UsageError: names the YAML path of what is wrong, beginning with ``path``.
    """
    fields = [field.name for field in dataclasses.fields(Recipe)]
    settings.check_keys(data, fields, path)
    version = data.get("schema", SCHEMA)
    if isinstance(version, int) and version > SCHEMA:
        raise UsageError(
            f"{path}.schema: {version} is newer than this version of fdsl knows ({SCHEMA});"
            " upgrade fdsl"
        )
    block = data.get("variant")
    where = f"{path}.variant"
    if not isinstance(block, dict):
        raise UsageError(f"{where}: must be a mapping with a kind and its settings, not {block!r}")
    if "kind" not in block:
        raise UsageError(f"{where}.kind: is missing")
    values = {name: value for name, value in block.items() if name != "kind"}
    cls = variant_class(block["kind"], f"{where}.kind")
    variant = settings.from_dict(cls, values, where)
    plain = {name: value for name, value in data.items() if name != "variant"}
    return settings.from_dict(Recipe, plain, path, variant=variant)


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as its file says it, read once; :meth:`recipe` replaces values of it.

    Attributes:
        path: where it stands.
        data: content of the YAML.
        kind: its kind of dataset.
    """

    path: Path
    data: dict[str, Any]
    kind: type[Variant]

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.stem

    @property
    def types(self) -> dict[str, Any]:
        """Types of all that can be replaced, by name."""
        found: dict[str, Any] = {"samples_per_shard": int}
        for cls in (Recipe, self.kind):
            hints = typing.get_type_hints(cls)
            found |= {field.name: hints[field.name] for field in dataclasses.fields(cls)}
        return {name: found[name] for name in found if name not in ("variant", "schema")}

    def recipe(self, **overrides: Any) -> Recipe:
        """The recipe; see :func:`load_recipe`."""
        settings.check_keys(overrides, sorted(self.types), self.name)
        per_shard = overrides.pop("samples_per_shard", None)
        merged = dict(self.data)
        if _COUNTS & overrides.keys() or per_shard is not None:
            merged.pop("num_shards", None)
        own = {field.name for field in dataclasses.fields(Recipe)}
        merged |= {key: value for key, value in overrides.items() if key in own}
        merged["variant"] = self.data["variant"] | {
            key: value for key, value in overrides.items() if key not in own
        }
        recipe = recipe_from_dict(merged, self.name)
        try:  # files that cannot be read now, where the user says their names
            recipe.variant.check_files()
        except UsageError as error:
            raise UsageError(f"{self.name}.variant.{error}") from None
        if per_shard is None:
            return recipe
        if "num_shards" in overrides:
            raise UsageError("give num_shards or samples_per_shard, not both")
        where = f"{self.name}.samples_per_shard"
        size = settings.convert(per_shard, int, where, settings.Bounds(low=1))
        return dataclasses.replace(recipe, num_shards=-(-recipe.num_train_samples // size))


def read_recipe_file(name: str | Path) -> RecipeFile:
    """The file of a recipe, by a name or path as :func:`load_recipe` takes it.

    Raises:
        UsageError: if there is no such recipe or kind of dataset, or it cannot be read.
    """
    file = recipe_files.find_recipe(str(name), recipe_files.recipe_folder())
    data = settings.load_yaml(file)
    settings.check_keys(data, [field.name for field in dataclasses.fields(Recipe)], file.stem)
    block = data.get("variant")
    kind = block.get("kind") if isinstance(block, dict) else None
    return RecipeFile(file, data, variant_class(kind, f"{file.stem}.variant"))


def load_recipe(name: str | Path, **overrides: Any) -> Recipe:
    """Read a recipe and replace some of its values.

    Args:
        name: a published recipe (``fractal-1``; hyphen and underscore are the same), or a path if
            it has a ``/`` or ends in ``.yaml``.
        overrides: recipe fields, settings of the kind of dataset, or ``samples_per_shard``.
            Changing a number of categories or instances without saying ``num_shards`` chooses the
            shard count anew.

    Returns:
        The recipe, checked.

    Raises:
        UsageError: if there is no such recipe, a value in it cannot be, or a file that it names
            cannot be read.
    """
    return read_recipe_file(name).recipe(**overrides)
