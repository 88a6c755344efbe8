"""The digest of a checkpoint's content."""

from typing import Any

import pytest
import torch

from fdsl_train.models.value_digest import value_digest

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 1.0, -0.0, 0.0, "", "1", "\udcff", [], {}, [[]], [0], [None]),
    *(["a", "b"], ["ab"], [["a"], "b"], {"a": 1}, {1: "a"}, {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    *(torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32), torch.zeros(5)),
    *(torch.zeros(4, dtype=torch.bfloat16), torch.zeros(()), torch.zeros(0), torch.ones(4)),
    *(
        torch.zeros(8, dtype=torch.bfloat16),
        torch.tensor([True]),
        torch.zeros(1, dtype=torch.uint8),
    ),
]


def test_different_values_have_different_digests() -> None:
    assert len({value_digest(value) for value in VALUES}) == len(VALUES)


def test_equal_values_have_equal_digests() -> None:
    assert value_digest((1, (2,))) == value_digest([1, [2]])
    part = torch.arange(12.0).view(3, 4).T
    assert value_digest(part) == value_digest(part.contiguous())
    assert value_digest(torch.nn.Parameter(torch.ones(2))) == value_digest(torch.ones(2))


def test_values_that_have_none() -> None:
    with pytest.raises(TypeError, match="cannot cover set"):
        value_digest({"a": {1}})
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert len(value_digest(deep)) == 32
