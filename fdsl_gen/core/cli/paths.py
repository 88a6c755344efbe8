"""Places that commands write to."""

from pathlib import Path
from typing import Any

import click


class OutputFile(click.Path):
    """The name of a file to be written, refused at once where it cannot be one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails for an empty name and for a folder."""
        if not str(value):
            self.fail("give the name of a file", param, ctx)
        path = Path(value)
        if path.is_dir():
            self.fail(f"{path} is a folder; give the name of a file in it", param, ctx)
        return path


FILE = OutputFile(path_type=Path)
