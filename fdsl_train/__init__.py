"""Pre-train and fine-tune vision models on datasets made by formulas.

The public functions are the ones the commands use; :class:`FormulaDataset` is for training loops of
others. They are imported on first use, so that
importing the package does not import PyTorch. What they tell on the way goes to the logger
``fdsl_train``.

    >>> from fdsl_train import finetune, pretrain
    >>> run = pretrain("shards/", "runs/smoke", recipe="cpu-smoke", epochs=20)
    >>> finetune("photos/", "runs/photos", checkpoint=run.export, recipe="cpu-finetune").best
"""

from typing import TYPE_CHECKING, Any

from fdsl_gen import __version__ as __version__

if TYPE_CHECKING:
    from fdsl_train.analysis.evaluate import evaluate as evaluate
    from fdsl_train.analysis.knn import knn as knn
    from fdsl_train.data.formula_dataset import FormulaDataset as FormulaDataset
    from fdsl_train.models.load import load_model as load_model
    from fdsl_train.training.finetune import finetune as finetune
    from fdsl_train.training.pretrain import pretrain as pretrain
    from fdsl_train.training.result import RunResult as RunResult

_HOMES = {
    "FormulaDataset": "fdsl_train.data.formula_dataset",
    "RunResult": "fdsl_train.training.result",
    "evaluate": "fdsl_train.analysis.evaluate",
    "finetune": "fdsl_train.training.finetune",
    "knn": "fdsl_train.analysis.knn",
    "load_model": "fdsl_train.models.load",
    "pretrain": "fdsl_train.training.pretrain",
}

__all__ = [
    "FormulaDataset",
    "RunResult",
    "evaluate",
    "finetune",
    "knn",
    "load_model",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdsl_train' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
