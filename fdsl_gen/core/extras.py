"""Libraries that only some commands need, and the extra of the package that brings each."""

from fdsl_gen.core.errors import UsageError

#: Extra by the name that is imported.
EXTRAS = {
    "boto3": "s3",
    "botocore": "s3",
    "dask": "dask",
    "datasets": "hfds",
    "distributed": "dask",
    "huggingface_hub": "hf",
    "matplotlib": "plot",
    "mlflow": "track",
    "obstore": "s3",
    "safetensors": "train",
    "segmentation_models_pytorch": "seg",
    "starlette": "explore",
    "tensorboard": "track",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "trackio": "track",
    "uvicorn": "explore",
    "wandb": "track",
    "webdataset": "train",
}


def missing(library: str, purpose: str = "this command", extra: str = "") -> UsageError:
    """The refusal of a command whose library is not installed.

    Args:
        library: a key of :data:`EXTRAS`.
        purpose: what needs it, to begin the sentence.
        extra: that brings it, if not the usual one.
    """
    extra = extra or EXTRAS[library]
    return UsageError(
        f'{purpose} needs {library}, which is not installed: pip install "fdsl[{extra}]"'
    )


def without_library(error: BaseException) -> UsageError | None:
    """What to tell the user of an import that failed; None if no extra would help."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    library = error.name.partition(".")[0]
    return missing(library) if library in EXTRAS else None
