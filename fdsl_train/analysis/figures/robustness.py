"""Errors on corrupted images over the severity of the corruption."""

from pathlib import Path

from fdsl_train.analysis.figures.save import new_figure, save
from fdsl_train.analysis.robustness import Robustness
from fdsl_train.transforms.corruption import SEVERITIES, Corruption

# ImageNet-C's groups.
_GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}


def draw_robustness(path: Path, found: Robustness, title: str) -> None:
    """Draw a panel for each group of corruptions, a line for each; severity 0 is no corruption.

    Args:
        path: of the picture.
        found: the errors.
        title: above the panels.
    """
    groups = {
        group: names
        for group, members in _GROUPS.items()
        if (names := [name for name in members if name in found.names])
    }
    figure = new_figure(1.0 + 3.2 * len(groups), 4.0)
    figure.suptitle(title)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (group, names) in zip(panels, groups.items(), strict=True):
        for name in names:
            errors = {0: found.clean.top1} | {
                severity: found.corrupted[Corruption(name, severity)].top1
                for severity in SEVERITIES
                if Corruption(name, severity) in found.corrupted
            }
            label = name.replace("_", " ")
            axes.plot(list(errors), list(errors.values()), marker="o", markersize=3.5, label=label)
        axes.set(title=group, xlabel="severity", xticks=[0, *SEVERITIES])
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set(ylabel="error, %", ylim=(0, None))
    save(figure, path)
