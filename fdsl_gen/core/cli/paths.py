"""Names of files and folders on the command line."""

import errno
from typing import Any

import click

from fdsl_gen.core.path_names import check_path

# An OSError of these tells of a place that the user named, not of a disk that failed.
_BAD_PLACE = {
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EINVAL,
}


def is_bad_place(error: OSError) -> bool:
    """Whether a place cannot be used at all, so that the same command will not help later."""
    return error.errno in _BAD_PLACE


class PathName(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """The name of a file or folder, refused at once where it cannot be one."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; UsageError if it cannot be one."""
        return check_path(value)


class OutputFile(PathName):
    """The name of a file to be written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails for a folder."""
        path = check_path(value)
        if path.is_dir():
            self.fail(f"{path} is a folder; give the name of a file in it", param, ctx)
        return path


PATH = PathName()
FILE = OutputFile()
