"""Objectives, one file each."""

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Source
from fdsl_train.tasks.base import Task
from fdsl_train.tasks.classification import Classification
from fdsl_train.tasks.multilabel import MultiLabel


def task_for(config: Resolved, source: Source) -> Task:
    """The objective that fits the labels of a source.

    Raises:
        UsageError: if the recipe mixes images that have several labels.
    """
    if source.labels == "multi":
        return MultiLabel(config, source.num_classes)
    return Classification(config, source.num_classes)
