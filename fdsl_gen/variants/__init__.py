"""The kinds of dataset: a static table, so that listing them imports neither them nor numba."""

from importlib import import_module

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest
from fdsl_gen.variants.base import Variant

# kind -> (module, class)
_KINDS = {
    "exfractaldb": ("exfractaldb", "ExFractalDb"),
    "fractal-1": ("fractal_1", "Fractal1"),
    "fractal-color": ("fractal_color", "FractalColor"),
    "fractaldb": ("fractaldb", "FractalDb"),
    "linedb": ("linedb", "LineDb"),
    "multi-fractal": ("multi_fractal", "MultiFractal"),
    "rcdb": ("rcdb", "Rcdb"),
    "real-1": ("real_1", "Real1"),
    "segrcdb": ("segrcdb", "SegRcdb"),
    "visualatom": ("visualatom", "VisualAtom"),
}


def kinds() -> list[str]:
    """Every kind of dataset, by the name it has in recipes, sorted."""
    return sorted(_KINDS)


def variant_class(kind: object, path: str) -> type[Variant]:
    """The settings class of a kind; UsageError that names ``path`` if there is none."""
    if kind not in _KINDS:
        raise UsageError(f"{path}: unknown kind {kind!r}{nearest(str(kind), _KINDS)}")
    module, name = _KINDS[str(kind)]
    found: type[Variant] = getattr(import_module(f"fdsl_gen.variants.{module}"), name)
    return found
