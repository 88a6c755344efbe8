"""Which output of a classifier means which class of a dataset.

Names decide where both sides have them. A file without names was trained with the classes counted
in some order: torchvision's ``ImageFolder``, and so most authors' code and ours, sorts folder names
as text (1, 10, 2); timm sorts them naturally (1, 2, 10), letters without regard to case.
"""

from collections import Counter
from typing import Literal

from timm.utils.misc import natural_key

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.sources.base import Source
from fdsl_train.data.sources.image_folder import FolderSource
from fdsl_train.data.sources.timm_named import NamedSource
from fdsl_train.data.sources.webdataset_tars import TarSource
from fdsl_train.models.pretrained import PretrainedWeights

ClassOrder = Literal["natural", "text"]


def model_labels(trained: PretrainedWeights, source: Source, order: ClassOrder | None) -> list[int]:
    """The model's label for every label of the data; the data may lack classes of a named model.

    Args:
        trained: the model.
        source: the data.
        order: how the model counts classes that its file does not name; None: not known.

    Raises:
        UsageError: if a class cannot be found in the model, or the order must be known.
    """
    theirs, ours, width = trained.class_names, source.class_names, trained.num_classes
    if theirs is not None and width not in (None, len(theirs)):
        raise UsageError(f"{trained.name} names {len(theirs)} classes, and its head has {width}")
    if theirs is not None and ours is not None and theirs != ours:
        return _by_name(theirs, ours, trained.name, source.name)
    # Where labels are plain numbers, the data may lack the highest.
    counted = isinstance(source, NamedSource | TarSource) and ours is None
    if not (width == source.num_classes or (counted and source.num_classes < (width or 0))):
        head = "no head" if width is None else f"{width} classes"
        raise UsageError(f"{trained.name} has {head}, {source.name} has {source.num_classes}")
    sorted_here = isinstance(source, FolderSource) or (
        isinstance(source, TarSource) and source.classes.sorted
    )
    if theirs is None and ours is not None and sorted_here:
        return _by_order(ours, order, trained.name, source.name)
    return list(range(source.num_classes))


def model_class_names(
    trained: PretrainedWeights, source: Source, labels: list[int]
) -> tuple[str, ...]:
    """Names by label of the model; those of the data, or numbers, where its file has none.

    Args:
        trained: the model.
        source: the data.
        labels: from :func:`model_labels`.
    """
    if trained.class_names is not None:
        return trained.class_names
    if source.class_names is None:
        return tuple(str(label) for label in range(trained.num_classes or source.num_classes))
    named = dict(zip(labels, source.class_names, strict=True))
    return tuple(named[label] for label in range(source.num_classes))


def _by_name(theirs: tuple[str, ...], ours: tuple[str, ...], model: str, data: str) -> list[int]:
    for names, owner in ((theirs, model), (ours, data)):
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise UsageError(
                f"{owner} has {count} classes named {name}, so that the classes of {model} and"
                f" {data} cannot be matched by name"
            )
    places = {name: label for label, name in enumerate(theirs)}
    unknown = [name for name in ours if name not in places]
    if unknown:
        raise UsageError(
            f"{data} has the class {unknown[0]}, which {model} was not trained on"
            f" ({len(unknown)} of {len(ours)} classes)"
        )
    return [places[name] for name in ours]


def _by_order(names: tuple[str, ...], order: ClassOrder | None, model: str, data: str) -> list[int]:
    text = sorted(names)
    natural = sorted(text, key=_natural_key)
    if order is None and text != natural:
        at = next(i for i, pair in enumerate(zip(text, natural, strict=True)) if len({*pair}) > 1)
        raise UsageError(
            f"{model} does not name its classes, and those of {data} can be counted in two ways:"
            f" number {at} is {natural[at]} in natural order (timm), {text[at]} in the order of"
            " text (torchvision); give --class-order natural or --class-order text"
        )
    places = {name: i for i, name in enumerate(natural if order == "natural" else text)}
    return [places[name] for name in names]


def _natural_key(name: str) -> list[int | str]:
    try:
        key: list[int | str] = natural_key(name)  # type: ignore[no-untyped-call]
    except ValueError:  # digits such as a raised 2, which timm cannot read
        key = [name]
    return key
