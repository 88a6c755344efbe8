"""What the images of a dataset are labeled with: a file for each label type, and their table."""

from fdsl_gen.archive.label_types.base import LabelType, Target
from fdsl_gen.archive.label_types.instances import Instances
from fdsl_gen.archive.label_types.multi import Multi
from fdsl_gen.archive.label_types.segmentation import Segmentation
from fdsl_gen.archive.label_types.single import Single

SINGLE, MULTI, SEGMENTATION, INSTANCES = Single(), Multi(), Segmentation(), Instances()

#: By the name that stands as ``task`` in manifests.
LABEL_TYPES: dict[str, LabelType] = {
    kind.name: kind for kind in (SINGLE, MULTI, SEGMENTATION, INSTANCES)
}

__all__ = ["INSTANCES", "LABEL_TYPES", "MULTI", "SEGMENTATION", "SINGLE", "LabelType", "Target"]
