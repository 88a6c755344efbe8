"""How much worse a classifier is on corrupted images: a table of errors, and their mean.

The mean corruption error is the plain mean over corruptions of the mean over their severities, as
for CIFAR-10-C. The published figures for ImageNet-C divide each corruption by AlexNet's error on
it; the table has what that takes.
"""

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fdsl_train.transforms.corruption import SEVERITIES, Corruption

logger = logging.getLogger(__name__)

_COLUMNS = [f"error_{severity}" for severity in SEVERITIES]


@dataclass(frozen=True)
class Errors:
    """Of a set of images.

    Attributes:
        top1: percent of them that are taken for another class.
        calibration: expected calibration error, percent.
    """

    top1: float
    calibration: float


@dataclass(frozen=True)
class Robustness:
    """Errors of a classifier on images as they are and corrupted.

    Attributes:
        clean: on the images as they are.
        corrupted: by corruption and severity, those that were asked for.
    """

    clean: Errors
    corrupted: dict[Corruption, Errors]

    @property
    def names(self) -> list[str]:
        """The corruptions, each once, in ImageNet-C's order."""
        return list(dict.fromkeys(one.name for one in self.corrupted))

    def mean_of(self, name: str) -> Errors:
        """Over the severities of a corruption."""
        return _mean([errors for one, errors in self.corrupted.items() if one.name == name])

    def mean(self) -> Errors:
        """Over the corruptions: ``top1`` is the mean corruption error."""
        return _mean([self.mean_of(name) for name in self.names])

    def table(self) -> str:
        """CSV: a row for the clean images, one per corruption, and one for their mean."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["corruption", *_COLUMNS, "error", "calibration_error"])
        blanks = [""] * len(_COLUMNS)
        writer.writerow(["none", *blanks, *_shown(self.clean)])
        for name in self.names:
            writer.writerow([name, *self._by_severity(name), *_shown(self.mean_of(name))])
        writer.writerow(["mean", *blanks, *_shown(self.mean())])
        return buffer.getvalue()

    def lines(self) -> list[str]:
        """The same for a reader, without calibration."""
        head = f"{'error, %':18}" + "".join(f"{severity:>7}" for severity in SEVERITIES)
        rows = [
            f"{name:18}"
            + "".join(f"{error:>7}" for error in self._by_severity(name))
            + f"{self.mean_of(name).top1:8.2f}"
            for name in self.names
        ]
        return [head + "    mean", *rows]

    def _by_severity(self, name: str) -> list[str]:
        found = [self.corrupted.get(Corruption(name, severity)) for severity in SEVERITIES]
        return ["" if errors is None else f"{errors.top1:.2f}" for errors in found]


def measure_robustness(
    asked: Sequence[Corruption], clean: Errors, errors_of: Callable[[Corruption], Errors]
) -> Robustness:
    """Measure each corruption that is asked for, and tell the table on the way.

    Args:
        asked: in the order of the table.
        clean: errors on the images as they are.
        errors_of: measures one.
    """
    corrupted = {}
    for number, one in enumerate(asked, start=1):
        corrupted[one] = errors_of(one)
        if number % 5 == 0 and number < len(asked):
            logger.info(f"{number} of {len(asked)} corruptions and severities measured")
    found = Robustness(clean, corrupted)
    for line in found.lines():
        logger.info(line)
    mean = found.mean()
    logger.info(
        f"mean corruption error {mean.top1:.2f} %, clean error {clean.top1:.2f} %; expected"
        f" calibration error {mean.calibration:.2f} % of corrupted images"
    )
    return found


def _mean(parts: Sequence[Errors]) -> Errors:
    return Errors(
        sum(part.top1 for part in parts) / len(parts),
        sum(part.calibration for part in parts) / len(parts),
    )


def _shown(errors: Errors) -> list[str]:
    return [f"{errors.top1:.2f}", f"{errors.calibration:.2f}"]
