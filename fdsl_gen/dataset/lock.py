"""To whom a place belongs: ``__meta__/recipe.json``, written once, exclusively."""

import json
from collections.abc import Iterable
from typing import Any

from fdsl_gen.archive.manifest import Manifest
from fdsl_gen.archive.paths import META
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict

OWNER = "recipe.json"  # in __meta__
OWNER_NAME = f"{META}/{OWNER}"
_REPAIR = "fdsl-gen finalize --repair restores it from the manifest of a finished dataset"


def owner_bytes(recipe: Recipe) -> bytes:
    """The content of ``recipe.json``."""
    return _owner(recipe.to_dict(), recipe.identity, recipe.recipe_digest)


def owner_of(manifest: Manifest) -> bytes:
    """The content of the ``recipe.json`` of a finished dataset."""
    return _owner(manifest.recipe, manifest.identity, manifest.recipe_digest)


def _owner(recipe: dict[str, Any], identity: str, recipe_digest: str) -> bytes:
    owner = {"recipe": recipe, "identity": identity, "recipe_digest": recipe_digest}
    return (json.dumps(owner, indent=1, allow_nan=False) + "\n").encode()


def read_owner(data: bytes, where: str) -> dict[str, Any]:
    """The content of a ``recipe.json``.

    Raises:
        UsageError: if it is damaged.
    """
    try:
        owner: Any = parse_json(data, where)
        texts = [owner["identity"], owner["recipe_digest"]]
        if isinstance(owner["recipe"], dict) and all(isinstance(text, str) for text in texts):
            found: dict[str, Any] = owner
            return found
    except (UsageError, KeyError, TypeError):
        pass
    raise UsageError(f"{where} is damaged; {_REPAIR}")


def owned_recipe(data: bytes, where: str) -> Recipe:
    """The recipe in a ``recipe.json``, compared with the digests beside it.

    Raises:
        UsageError: if it is damaged, or a kind of dataset has changed since.
    """
    owner = read_owner(data, where)
    recipe = recipe_from_dict(owner["recipe"], where)
    if recipe.identity != owner["identity"] or recipe.recipe_digest != owner["recipe_digest"]:
        raise UsageError(
            f"{where} holds a recipe that does not fit the digests beside it: it is damaged, or"
            f" another version of fdsl-gen made it; {_REPAIR}"
        )
    return recipe


def is_owner(data: bytes, manifest: Manifest) -> bool:
    """Whether the content of a ``recipe.json`` is that of the dataset of a manifest."""
    try:
        return read_owner(data, OWNER) == read_owner(owner_of(manifest), OWNER)
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
    owner, mine = read_owner(theirs, f"{where}/{META}/{OWNER}"), read_owner(ours, OWNER)
    same = owner["recipe_digest"] == mine["recipe_digest"]
    if same and owner["recipe"].get("name") == mine["recipe"]["name"]:
        return
    differing = sorted(_differing(owner["recipe"], mine["recipe"])) or ["revision"]
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
