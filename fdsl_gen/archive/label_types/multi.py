"""Several labels per image, as a list in the ``.json``."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types.base import LabelType, Target
from fdsl_gen.core.json_text import parse_json


class Multi(LabelType):
    """Several labels per image."""

    name: ClassVar[str] = "multi"
    member: ClassVar[str] = "json"
    hub_task: ClassVar[str] = "image-classification"
    card_text: ClassVar[str] = "a `.json` with the list `labels` of the categories in it"
    card_feature: ClassVar[Mapping[str, Any]] = {
        "name": "json",
        "struct": [{"name": "labels", "sequence": "int64"}],
    }

    def target(
        self, category: int, labels: tuple[int, ...] | None, mask: NDArray[np.uint8] | None
    ) -> Target:
        return Target(labels or ())

    def facts(self, target: Target) -> dict[str, Any]:
        return {"labels": target.labels}

    def decode(self, content: bytes) -> Target:
        found = parse_json(content, "its .json", max_bytes=1 << 20)
        labels = found.get("labels") if isinstance(found, dict) else None
        if not isinstance(labels, list) or not labels:
            raise ValueError("its .json has no list of labels")
        if not all(type(label) is int and 0 <= label < 1 << 63 for label in labels):
            raise ValueError("its .json has no list of labels")
        return Target(tuple(labels))

    def files(self, key: str, target: Target, members: Mapping[str, bytes]) -> dict[str, bytes]:
        return {f"images/{key}.png": members["png"]}

    def csv_labels(self, target: Target) -> str | None:
        return " ".join(map(str, target.labels))
