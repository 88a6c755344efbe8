"""A dataset folder: who owns it, which shards are done, what may be deleted.

Layout::

    manifest.json  README.md  preview.png  _info.json      written last, the manifest after the rest
    {name}-{split}-{index:06d}.tar
    __meta__/recipe.json                                   created once; owns the folder
    __meta__/source.png                                    the picture it is made from, if it is
    __meta__/markers/{shard}.json                          one for each finished shard
    __meta__/index/{shard}.npy                             byte ranges (shards.py)
    __meta__/categories/shared.json                        what all categories have in common
    __meta__/categories/block-{number:06d}.npz             categories that were searched for
"""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fdsl_gen
from fdsl_gen import inputs, schema, store
from fdsl_gen.categories import SHARED
from fdsl_gen.errors import UsageError
from fdsl_gen.layout import Shard, shards_of
from fdsl_gen.manifest import MANIFEST, META, ShardEntry
from fdsl_gen.recipe import Recipe, recipe_from_dict

ROOT_FILES = (MANIFEST, "_info.json", "preview.png", "README.md")


@dataclass(frozen=True)
class Folder:
    """Paths in a dataset folder and what they say."""

    path: Path
    recipe: Recipe

    @property
    def meta(self) -> Path:
        return self.path / META

    @property
    def categories(self) -> Path:
        return self.meta / "categories"

    @property
    def shared(self) -> Path:
        return self.categories / SHARED

    def stem(self, shard: Shard) -> str:
        return shard.stem(self.recipe.name)

    def tar(self, shard: Shard) -> Path:
        return self.path / f"{self.stem(shard)}.tar"

    def marker(self, shard: Shard) -> Path:
        return self.meta / "markers" / f"{self.stem(shard)}.json"

    def index(self, shard: Shard) -> Path:
        return self.meta / "index" / f"{self.stem(shard)}.npy"

    def mark(self, shard: Shard, entry: ShardEntry, **facts: Any) -> None:
        """Note that a shard is finished; ``facts`` of the run go into the marker only."""
        run = {"host": socket.gethostname(), "pid": os.getpid(), "version": fdsl_gen.__version__}
        data = {"shard": schema.to_dict(entry, defaults=True), "run": run | facts}
        store.write(self.marker(shard), (json.dumps(data, indent=1) + "\n").encode())

    def entry(self, shard: Shard) -> ShardEntry | None:
        """What the marker of a shard says; None if there is none or its file is gone or cut."""
        path = self.marker(shard)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise UsageError(
                f"{path} is damaged; delete it, and the shard is checked anew"
            ) from None
        entry = schema.from_dict(ShardEntry, data["shard"], path.name)
        tar = self.tar(shard)
        return entry if tar.exists() and tar.stat().st_size == entry.bytes else None

    def missing(self) -> list[Shard]:
        """Shards without a valid marker, in order."""
        return [shard for shard in shards_of(self.recipe) if self.entry(shard) is None]

    def sweep(self, shards: list[Shard] | None = None) -> int:
        """Remove what dead processes left of these shards; None: of anything, on any host."""
        if shards is None:
            folders = [self.path, self.meta, *(p for p in self.meta.glob("*") if p.is_dir())]
            return sum(store.sweep(folder) for folder in folders)
        names = [p.name for s in shards for p in (self.tar(s), self.index(s), self.marker(s))]
        places = (self.path, self.meta / "index", self.meta / "markers")
        return sum(store.sweep(folder, names) for folder in places)


def _owner_path(path: Path) -> Path:
    return path / META / "recipe.json"


def _owner_data(path: Path) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(_owner_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise UsageError(f"{_owner_path(path)} is damaged") from None
    return data


def open_folder(path: Path) -> Folder:
    """A folder that a run has begun.

    Raises:
        UsageError: if it is not one.
    """
    data = _owner_data(path) if path.is_dir() else None
    if data is None:
        what = "is not a dataset folder of fdsl-gen" if path.exists() else "does not exist"
        raise UsageError(f"{path} {what}")
    return Folder(path, inputs.adopt(recipe_from_dict(data["recipe"], "recipe.json"), path))


def claim(path: Path, recipe: Recipe, *, overwrite: bool = False) -> Folder:
    """Make ``path`` the folder of ``recipe``, or find that it already is.

    Args:
        path: made if it does not exist.
        recipe: what is to stand in it.
        overwrite: delete what an earlier run of fdsl-gen made there. Nothing else is deleted.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder")
    recipe = inputs.adopt(recipe, path)
    picture = inputs.picture_of(recipe)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        if overwrite:
            _empty(path)
        owner = {
            "recipe": recipe.to_dict(),
            "identity": recipe.identity,
            "recipe_digest": recipe.recipe_digest,
        }
        text = json.dumps(owner, indent=1, allow_nan=False) + "\n"
        store.write_new(_owner_path(path), [text.encode()])
    except FileExistsError:
        _refuse_other(path, recipe)
    except OSError as error:
        raise UsageError(f"cannot write into {path}: {error.strerror}") from None
    return Folder(path, inputs.keep(recipe, picture, path))


def _refuse_foreign(path: Path) -> None:
    if _owner_path(path).exists():
        return
    others = sorted(entry.name for entry in path.iterdir() if entry.name != META)
    if others:
        raise UsageError(
            f"{path} is not empty and not a dataset folder of fdsl-gen (it holds {others[0]});"
            " give another --out"
        )


def _refuse_other(path: Path, recipe: Recipe) -> None:
    owner = _owner_data(path) or {}
    same = owner.get("recipe_digest") == recipe.recipe_digest
    if same and owner["recipe"]["name"] == recipe.name:
        return
    theirs = owner.get("recipe", {})
    differing = sorted(_differing(theirs, recipe.to_dict())) or ["revision"]
    raise UsageError(
        f"{path} belongs to another recipe (different: {', '.join(differing)}); give another --out,"
        " or --overwrite to delete the dataset there"
    )


def _differing(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _differing(a, b, f"{prefix}{key}.")
        elif a != b:
            names.append(prefix + key)
    return names


def _empty(path: Path) -> None:
    """Delete a dataset: the files that its recipe and its markers name, the manifest first."""
    data = _owner_data(path)
    if data is None:
        return
    folder = Folder(path, recipe_from_dict(data["recipe"], "recipe.json"))
    folder.sweep()
    doomed = [path / name for name in ROOT_FILES]
    for shard in shards_of(folder.recipe):
        doomed += [folder.tar(shard), folder.index(shard), folder.marker(shard)]
    blocks = folder.categories.glob("block-*.npz")
    doomed.append(folder.meta / inputs.KEPT)
    for file in (*doomed, *blocks, folder.shared, _owner_path(path)):
        file.unlink(missing_ok=True)
    for name in ("markers", "index", "categories"):
        _remove_if_empty(folder.meta / name)
    _remove_if_empty(folder.meta)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
