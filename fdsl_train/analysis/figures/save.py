"""Drawing without a display, and files that are whole or absent."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage import local

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ENDINGS = (".png", ".pdf", ".svg")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure.

    Args:
        width, height: inches.

    Raises:
        UsageError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("matplotlib", "a picture") from None
    return Figure(figsize=(width, height), layout="constrained")


def check_picture(path: Path) -> None:
    """Whether a picture can be drawn to ``path``, asked before the work for it.

    Raises:
        UsageError: if its ending is not one of a picture, or matplotlib is not installed.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path} must end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}")
    new_figure(1, 1)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure, replacing what stands there in one step."""
    buffer = io.BytesIO()
    settings: dict[str, Any] = {
        "format": path.suffix.lower()[1:],
        "dpi": 150,
        "bbox_inches": "tight",
    }
    figure.savefig(buffer, **settings)
    local.write(path, buffer.getvalue())
