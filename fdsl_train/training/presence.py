"""Whether the folder of a run is still there."""

from pathlib import Path

from fdsl_gen.core.errors import FdslError


def check_present(folder: Path) -> None:
    """Notice that the folder was deleted: a write would make it anew, without the rest of the run.

    Raises:
        FdslError: if it was.
    """
    if not folder.is_dir():
        raise FdslError(
            f"the output folder {folder} was deleted while this ran; the same command begins anew"
        )
