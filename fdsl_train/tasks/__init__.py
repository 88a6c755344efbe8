"""Objectives, one file each, and their table."""

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Source
from fdsl_train.tasks.base import Task
from fdsl_train.tasks.classification import Classification
from fdsl_train.tasks.multilabel import MultiLabel
from fdsl_train.tasks.segmentation import Segmentation

#: By the name of the label type that they learn from.
TASKS: dict[str, type[Task]] = {
    "single": Classification,
    "multi": MultiLabel,
    "segmentation": Segmentation,
}


def task_for(config: Resolved, source: Source) -> Task:
    """The objective that fits the labels of a source.

    Raises:
        UsageError: if the recipe does with images what their labels do not allow.
    """
    return TASKS[source.label_type.name](config, source.num_classes)
