"""Recipes are YAML files with names; both commands find theirs here."""

from pathlib import Path

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest

SCHEME = "recipe:"  # of ``recipe:NAME?setting=value``, a dataset without files


def is_recipe(data: object) -> bool:
    """Whether the text of a place names a recipe."""
    return isinstance(data, str) and data.startswith(SCHEME)


def headline(path: Path) -> str:
    """What a recipe says of itself: the text after the colon in its first line, a comment."""
    with path.open(encoding="utf-8") as file:
        return file.readline().partition(":")[2].strip()


def recipe_folder() -> Path:
    """The folder of the recipes that came with the package, from a wheel or from a checkout."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "_recipes"
    return installed if installed.is_dir() else here.parent / "recipes"


def recipe_names(folder: Path) -> list[str]:
    """Names of the recipes in ``folder``, sorted: words joined by hyphens."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find_recipe(name: str, folder: Path) -> Path:
    """The file of a recipe: ``name`` is a path if it has a ``/`` or ends in ``.yaml``.

    Hyphen and underscore are the same in names.
    """
    if "/" in name or name.endswith(".yaml"):
        return Path(name)
    for path in folder.glob("*.yaml"):
        if path.stem.replace("_", "-") == name.replace("_", "-"):
            return path
    known = recipe_names(folder)
    raise UsageError(f"no recipe named '{name}'{nearest(name, known)}")
