"""Labels as they stand in a shard: the content of a ``.cls`` or ``.json``."""

from fdsl_gen.core.json_text import parse_json


def decode_label(content: bytes) -> int:
    """The label in the ``.cls`` of a sample; ValueError if it is not one."""
    if not content.isdigit() or len(content) > 18:
        raise ValueError(f"the label {content[:40]!r} is not an integer from 0 on")
    return int(content)


def labels_from(content: bytes) -> tuple[int, ...]:
    """The labels in the ``.json`` of a sample with several.

    Raises:
        ValueError: if it has no list of labels.
    """
    found = parse_json(content, "its .json", max_bytes=1 << 20)
    labels = found.get("labels") if isinstance(found, dict) else None
    if not isinstance(labels, list) or not labels:
        raise ValueError("its .json has no list of labels")
    if not all(type(label) is int and 0 <= label < 1 << 63 for label in labels):
        raise ValueError("its .json has no list of labels")
    return tuple(labels)
