"""Flags made from settings: one grammar of values for both commands."""

from dataclasses import dataclass
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from fdsl_gen.core.cli.flags import flags_of, parse_value, read_flags
from fdsl_gen.core.settings import setting


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("1e3", int, 1000.0),
        ("2", float, 2),
        ("-0.5", float, -0.5),
        ("many", int, "many"),
        ("none", int | None, None),
        ("NULL", str | None, None),
        ("none", str, "none"),
        ("none", Literal["none", "backbone"], "none"),
        ("7", str, "7"),
        ("25", Literal[25, 145], 25),
        ("1,2,3", tuple[float, ...], [1, 2, 3]),
        ("1 2.5", tuple[float, ...], [1, 2.5]),
        ("[1, 2]", tuple[float, ...], [1, 2]),
        ("none", tuple[float, ...] | None, None),
        ("[[1, 2], [3, 4]]", tuple[tuple[float, ...], ...] | None, [[1, 2], [3, 4]]),
    ],
)
def test_one_grammar_of_values(text, annotation, value):
    parsed = parse_value(text, annotation)
    assert parsed == value
    assert type(parsed) is type(value)


@dataclass(frozen=True, kw_only=True)
class Things:
    image_size: int = setting(8, doc="side, pixels", low=1)
    sizes: tuple[float, ...] | None = setting(None, doc="several")
    bright: bool = setting(True, doc="whether it shines")
    hidden: int = setting(1, doc="no flag")


def test_every_field_is_a_flag_and_what_was_typed_comes_back():
    seen = {}
    options = flags_of(
        Things,
        leave_out=["hidden"],
        current={"image_size": 8} | dict.fromkeys(("sizes", "bright", "hidden")),
    )
    command = click.Command("draw", params=options, callback=lambda **values: seen.update(values))
    done = CliRunner().invoke(command, ["--image-size", "9", "--sizes", "none", "--no-bright"])
    assert done.exit_code == 0, done.output
    annotations = {"image_size": int, "sizes": tuple[float, ...] | None, "bright": bool}
    assert read_flags(seen, annotations) == {"image_size": 9, "sizes": None, "bright": False}
    assert "hidden" not in seen
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "side, pixels  [now: 8]" in shown
    assert "NUMBER,..." in shown


def test_flags_left_away_are_not_there():
    assert read_flags({"image_size": None, "other": "1"}, {"image_size": int}) == {}
