"""The lock of a dataset: ``__meta__/recipe.json``, written once, says whose the place is."""

import contextlib
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from fdsl_gen.archive.manifest import Manifest
from fdsl_gen.archive.paths import (
    LOCK,
    MANIFEST,
    META,
    ROOT_FILES,
    SOURCE_IMAGE,
    ShardPaths,
    is_category_file,
)
from fdsl_gen.core.errors import StorageError, UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.recipe.order import shards_of
from fdsl_gen.recipe.recipe import Recipe, lock_bytes, recipe_from_dict
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectExists, ObjectMissing
from fdsl_gen.storage.threads import SMALL_REQUESTS, map_threads

_REPAIR = "fdsl-gen finalize --repair restores it from the manifest of a finished dataset"


def lock_bytes_of(manifest: Manifest) -> bytes:
    """The content of the ``recipe.json`` of a finished dataset."""
    return lock_bytes(manifest.recipe, manifest.identity, manifest.recipe_digest)


def read_lock(data: bytes, where: str) -> dict[str, Any]:
    """The content of a ``recipe.json``.

    Raises:
        UsageError: if it is damaged.
    """
    try:
        lock: Any = parse_json(data, where)
        texts = [lock["identity"], lock["recipe_digest"]]
        if isinstance(lock["recipe"], dict) and all(isinstance(text, str) for text in texts):
            found: dict[str, Any] = lock
            return found
    except (UsageError, KeyError, TypeError):
        pass
    raise UsageError(f"{where} is damaged; {_REPAIR}")


def locked_recipe(data: bytes, where: str) -> Recipe:
    """The recipe in a ``recipe.json``, compared with the digests beside it.

    Raises:
        UsageError: if it is damaged, or a kind of dataset has changed since.
    """
    lock = read_lock(data, where)
    recipe = recipe_from_dict(lock["recipe"], where)
    if recipe.identity != lock["identity"] or recipe.recipe_digest != lock["recipe_digest"]:
        raise UsageError(
            f"{where} holds a recipe that does not fit the digests beside it: it is damaged, or"
            f" another version of fdsl-gen made it; {_REPAIR}"
        )
    return recipe


def is_lock(data: bytes, manifest: Manifest) -> bool:
    """Whether the content of a ``recipe.json`` is that of the dataset of a manifest."""
    try:
        return read_lock(data, LOCK) == read_lock(lock_bytes_of(manifest), LOCK)
    except UsageError:
        return False


def refuse_foreign(where: str, names: Iterable[str]) -> None:
    """Refuse a place without a recipe that holds something else.

    Raises:
        UsageError: if it does.
    """
    others = sorted(name for name in names if name.partition("/")[0] != META)
    if others:
        raise UsageError(
            f"{where} is not empty and not a dataset folder of fdsl-gen (it holds {others[0]});"
            " give another place"
        )


def refuse_other(where: str, theirs: bytes, ours: bytes) -> None:
    """Refuse a place that belongs to another recipe.

    Args:
        where: the place, for the message.
        theirs: the content of its ``recipe.json``.
        ours: the content that it would have.

    Raises:
        UsageError: if the recipes differ.
    """
    if theirs == ours:
        return
    lock, mine = read_lock(theirs, f"{where}/{LOCK}"), read_lock(ours, LOCK)
    same = lock["recipe_digest"] == mine["recipe_digest"]
    if same and lock["recipe"].get("name") == mine["recipe"]["name"]:
        return
    differing = sorted(_differing(lock["recipe"], mine["recipe"])) or ["revision"]
    raise UsageError(
        f"{where} belongs to another recipe (different: {', '.join(differing)}); give another"
        " place, or --overwrite to delete the dataset there"
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


def was_deleted(where: str) -> StorageError:
    """The error of a dataset that is gone while it is made."""
    return StorageError(f"{where} was deleted while this ran; the same command makes it anew")


def check_lock(store: Store, ours: bytes) -> None:
    """See that a place is still that of a recipe.

    A service without conditional requests may have let two runs begin at once.

    Args:
        store: the place.
        ours: content of ``recipe.json``.

    Raises:
        UsageError: if it belongs to another recipe.
        StorageError: if it was deleted.
    """
    try:
        theirs = store.read(LOCK)
    except ObjectMissing:
        raise was_deleted(store.url) from None
    refuse_other(store.url, theirs, ours)


def write_lock(store: Store, ours: bytes, *, overwrite: bool = False) -> None:
    """Make a place that of a recipe, or find that it already is.

    Args:
        store: the place.
        ours: content of ``recipe.json``.
        overwrite: delete another dataset that stands there. Nothing else is deleted.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be written.
    """
    store.prepare()
    try:
        theirs = store.read(LOCK)
    except ObjectMissing:
        refuse_foreign(store.url, store.top_names())
    else:
        if not overwrite:
            refuse_other(store.url, theirs, ours)
            return
        _empty(store, theirs)
    with contextlib.suppress(ObjectExists):
        store.put_new(LOCK, ours, sha256(ours).hexdigest())
    refuse_other(store.url, store.read(LOCK), ours)


def _empty(store: Store, theirs: bytes) -> None:
    """Delete a dataset: the files that its recipe names, the manifest first, the lock last."""
    lock = read_lock(theirs, f"{store.url}/{LOCK}")
    recipe = recipe_from_dict(lock["recipe"], LOCK)
    store.delete(MANIFEST)
    doomed = {*ROOT_FILES, SOURCE_IMAGE}
    for shard in shards_of(recipe):
        doomed.update(ShardPaths(shard.stem(recipe.name)).all)
    there = [name for name in store.list() if name in doomed or is_category_file(name)]
    for _ in map_threads(store.delete, there, SMALL_REQUESTS):
        pass
    store.delete(LOCK)
