"""The kinds of dataset, one module each; listing them imports neither them nor numba."""

from importlib import import_module
from pkgutil import iter_modules

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest
from fdsl_gen.variants.base import Variant


def kinds() -> list[str]:
    """Every kind of dataset, by the name it has in recipes, sorted.

    It is the name of its module, with hyphens; modules with ``_`` in front are shared by kinds.
    """
    names = {module.name for module in iter_modules(__path__)} - {"base"}
    return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))


def variant_class(kind: object, path: str) -> type[Variant]:
    """The settings class of a kind; UsageError that names ``path`` if there is none."""
    if kind not in kinds():
        raise UsageError(f"{path}: unknown kind {kind!r}{nearest(str(kind), kinds())}")
    module = import_module(f"{__name__}.{str(kind).replace('-', '_')}")
    (found,) = (
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Variant) and vars(cls).get("KIND") == kind
    )
    return found
