"""A recipe in one text: ``recipe:NAME?setting=value``."""

from urllib.parse import parse_qsl

from fdsl_gen.core import settings
from fdsl_gen.core.cli.flags import read_flags
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.recipe_files import SCHEME
from fdsl_gen.recipe.recipe import Recipe, read_recipe_file


def parse_recipe(text: str) -> Recipe:
    """The recipe that ``recipe:NAME?setting=value&setting=value`` stands for.

    Args:
        text: NAME is one or a path, as :func:`load_recipe` takes it; ``recipe:`` may be left out.
            Values are those of the options of ``fdsl-gen``; ``%26`` stands for ``&`` and so on.

    Returns:
        The recipe, checked.

    Raises:
        UsageError: if there is no such recipe or setting, or a value cannot be.

    Examples:
        >>> parse_recipe("recipe:fractal-1?num_categories=10&image_size=128").num_samples
        10
    """
    name, _, query = text.removeprefix(SCHEME).partition("?")
    if not name:
        raise UsageError(f"{text}: names no recipe; give {SCHEME}NAME (fdsl-gen list)")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(
            f"{text}: what stands behind ? must be setting=value, with & between several"
        ) from None
    texts = dict(pairs)
    if len(texts) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise UsageError(f"{text}: {twice} is given twice")
    file = read_recipe_file(name)
    settings.check_keys(texts, file.types, name)
    return file.recipe(**read_flags(texts, file.types))
