"""Objectives, one file each, and their table."""

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Source
from fdsl_train.tasks.base import Task
from fdsl_train.tasks.classification import Classification
from fdsl_train.tasks.multilabel import MultiLabel

#: By the name of the label type that they learn from.
TASKS: dict[str, type[Task]] = {"single": Classification, "multi": MultiLabel}


def task_for(config: Resolved, source: Source) -> Task:
    """The objective that fits the labels of a source.

    Raises:
        UsageError: if the recipe mixes images that have several labels.
    """
    return TASKS[source.label_type.name](config, source.num_classes)
