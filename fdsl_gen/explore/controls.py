"""The settings of a recipe as controls, and a recipe from what a page sends."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from fdsl_gen.core import recipe_files, settings
from fdsl_gen.core.cli.flags import flag_of
from fdsl_gen.core.errors import UsageError
from fdsl_gen.recipe.recipe import Recipe, load_recipe

# Images have the size of the dataset: other fractals fill an image of another size. But kinds of
# which one takes tenths of a second begin smaller.
_FIRST_SIZE = {"mandelbulb": 192}
# However far a control goes: no picture may take longer than a moment.
_MOST = {
    "image_size": 1024,
    "num_points": 300_000,
    "search_points": 300_000,
    "num_lines_max": 2000,
    "supersampling": 2,
    "ray_steps": 2000,
    "light_steps": 10_000,
    "iterations": 200,
    "num_vertices_max": 2000,
    "num_orbits_max": 400,
    "num_contours_max": 400,
    "broken_contours": 5000,
    "points": 100_000,
}
_NOT_SHOWN = {"points"}
_OWN = {"seed": (0, 2**31), "num_categories": (1, 1_000_000)}  # of the recipe, not its variant


@functools.cache  # every request asks for them, and they are some fifty files
def names() -> list[tuple[str, str]]:
    """Names and headlines of the recipes that can be drawn without a file of the user's."""
    folder = recipe_files.recipe_folder()
    found = []
    for name in recipe_files.recipe_names(folder):
        path = recipe_files.find_recipe(name, folder)
        if settings.load_yaml(path)["variant"]["kind"] != "real-1":
            found.append((name, recipe_files.headline(path)))
    return found


def controls_of(name: str) -> list[dict[str, Any]]:
    """What can be turned: seed, number of categories, and every setting that is no file.

    Returns:
        For each: ``name``, ``kind`` (``int``, ``float``, ``bool``, ``choice``), ``value``, ``low``,
        ``high``, ``choices``, ``about``.
    """
    recipe = _published(name)
    shown = [
        {"name": own, "kind": "int", "value": value, "low": low, "high": high, "about": _ABOUT[own]}
        for own, (low, high) in _OWN.items()
        if (value := getattr(recipe, own)) is not None
    ]
    hints = typing.get_type_hints(type(recipe.variant))
    for field in dataclasses.fields(recipe.variant):
        value = _first_value(recipe, field.name)
        control = _control(hints[field.name], field.metadata)
        if control is None or value is None or field.name in _NOT_SHOWN:
            continue
        if field.name in _MOST:
            control["high"] = min(_MOST[field.name], control["high"] or _MOST[field.name])
        if "low" in control:
            control |= _span(value, control["low"], control["high"])
        shown.append({"name": field.name, "value": value, "about": field.metadata["doc"]} | control)
    return shown


_ABOUT = {
    "seed": "another seed gives another dataset of the same kind",
    "num_categories": "how many categories the dataset has; those shown span all of them",
}


def _control(annotation: Any, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """A control for values of a type, or None where there is none."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is Literal:
        return {"kind": "choice", "choices": list(typing.get_args(annotation))}
    if annotation is bool:
        return {"kind": "bool"}
    if annotation in (int, float):
        bounds = metadata["bounds"]
        return {"kind": annotation.__name__, "low": bounds.low, "high": bounds.high}
    return None


def _span(value: float, low: float | None, high: float | None) -> dict[str, float]:
    """Ends of a slider: the bounds, where they are near enough to turn it by hand."""
    reach = 4 * abs(value) or 1.0
    return {
        "low": value - reach if low is None else low,
        "high": reach if high is None or high > 100 * max(reach, 1) else high,
    }


def _first_value(recipe: Recipe, name: str) -> Any:
    """What the control of a setting begins with."""
    if name == "image_size" and recipe.variant.KIND in _FIRST_SIZE:
        return _FIRST_SIZE[recipe.variant.KIND]
    return getattr(recipe if name in _OWN else recipe.variant, name)


def _published(name: object) -> Recipe:
    """A published recipe by its name, which is never taken for a path.

    Raises:
        UsageError: if there is none of this name.
    """
    known = [found for found, _ in names()]
    if name not in known:
        raise UsageError(f"no recipe named {str(name)[:80]!r}{settings.nearest(str(name), known)}")
    return _load(str(name))


_load = functools.cache(load_recipe)  # of the published ones only, which do not change


def recipe_from(asked: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe that a page asks for, and what differs from the published one.

    Args:
        asked: ``name``, and ``settings`` by name; only those that have a control.

    Raises:
        UsageError: for another name, a setting without a control, or a value it cannot have.
    """
    name, turned = asked.get("name"), asked.get("settings", {})
    recipe = _published(name)
    if not isinstance(turned, dict):
        raise UsageError("settings must be a mapping")
    known = {control["name"] for control in controls_of(recipe.name)}
    different: dict[str, Any] = {}
    for key, value in turned.items():
        if key not in known:
            raise UsageError(f"{recipe.name} has no setting {str(key)[:80]!r} to turn")
        if isinstance(value, (dict, list)):
            raise UsageError(f"{key}: must be one value")
        high = _OWN[key][1] if key in _OWN else _MOST.get(key)
        if isinstance(value, (int, float)) and high is not None and value > high:
            raise UsageError(f"{key}: at most {high:,} here, not {value:,}")
        different[key] = value
    if "image_size" in known:
        different.setdefault("image_size", _first_value(recipe, "image_size"))
    for key in list(different):
        if different[key] == getattr(recipe if key in _OWN else recipe.variant, key):
            del different[key]
    return load_recipe(recipe.name, **different), different


def command_of(name: str, different: Mapping[str, Any], columns: int, rows: int) -> str:
    """The command that draws the same grid."""
    words = ["fdsl-gen", "preview", name]
    for key, value in different.items():
        if isinstance(value, bool):
            words.append(flag_of(key) if value else f"--no-{flag_of(key)[2:]}")
        else:
            words += [flag_of(key), str(value)]
    return " ".join([*words, "--categories", str(rows), "--columns", str(columns)])
