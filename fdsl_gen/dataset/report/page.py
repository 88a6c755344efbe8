"""A report as one HTML file that needs nothing else, and as JSON."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.dataset.report.collect import Report
from fdsl_gen.dataset.report.compare import distances
from fdsl_gen.dataset.report.measure import MEASURES
from fdsl_gen.dataset.sheet import colored, contact_sheet

_BARS = 40
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLORS = ("#0072b2", "#d55e00")  # told apart by people who confuse red and green (Okabe and Ito)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #222; background: #fff; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1.5rem 1.5rem 0; } figcaption { max-width: 19rem; }
img { max-width: 100%; } code { overflow-wrap: anywhere; } svg text { font-size: 11px; }
"""


def as_json(report: Report, against: Report | None = None) -> dict[str, Any]:
    """The figures of a report as JSON values."""
    manifest = report.manifest
    found: dict[str, Any] = {
        "place": report.place,
        "name": manifest.recipe.get("name"),
        "identity": manifest.identity,
        "content_digest": manifest.content_digest,
        "samples": {name: split.num_samples for name, split in manifest.splits.items()},
        "opened": report.measured,
        "blank": report.blank,
        "compared": report.compared,
        "near_equal_pairs": report.near_equal,
        "bytes": {name: round(value, 1) for name, value in report.sample_bytes.items()},
        "categories": _counts(report.per_category.values()),
        "labels": _counts(report.labels.values()),
        "figures": {name: _summary(column) for name, column in report.columns.items()},
        "words": {name: dict(counter.most_common(50)) for name, counter in report.words.items()},
        "gray_levels": report.grays.tolist(),
        "mask_area": {str(level): round(part, 6) for level, part in report.mask_area.items()},
    }
    if against is not None:
        found["against"] = as_json(against)
        found["distances"] = {k: round(v, 6) for k, v in distances(report, against).items()}
    return found


def _counts(values: Iterable[int]) -> dict[str, int] | None:
    """How many of something there are, and the least and the most of one."""
    listed = list(values)
    return {"number": len(listed), "least": min(listed), "most": max(listed)} if listed else None


def _summary(column: NDArray[np.float64]) -> dict[str, float] | None:
    there = column[~np.isnan(column)]
    if not len(there):
        return None
    quantiles = np.quantile(there, _QUANTILES)
    named = {f"q{round(100 * q):02d}": float(x) for q, x in zip(_QUANTILES, quantiles, strict=True)}
    return (
        {"mean": float(there.mean()), "least": float(there.min())}
        | named
        | {"greatest": float(there.max())}
    )


def as_page(report: Report, against: Report | None = None) -> str:
    """The page, UTF-8 HTML without content from elsewhere."""
    reports = [report] if against is None else [report, against]
    title = " against ".join(str(r.manifest.recipe.get("name", r.place)) for r in reports)
    parts = [f"<h1>{html.escape(title)}</h1>", _facts(reports)]
    if against is not None:
        parts.append(_distances(report, against))
    parts += ["<h2>Samples</h2>", *(_sheet(r, len(reports) > 1) for r in reports)]
    parts += ["<h2>Images</h2>", *_charts(reports, list(MEASURES))]
    grays = _bars([r.grays for r in reports], np.arange(257.0))
    parts.append(_figure("gray levels of all pixels", grays))
    stored = [n for n in report.columns if n not in MEASURES]
    if stored:
        parts += ["<h2>Parameters and boxes</h2>", *_charts(reports, stored)]
    parts += [_words(name, counter.most_common(20)) for name, counter in report.words.items()]
    if report.mask_area:
        parts += ["<h2>Masks</h2>", _masks(report)]
    parts += ["<h2>Commands</h2>", _commands(report)]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        f"{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _facts(reports: Sequence[Report]) -> str:
    rows: dict[str, list[str]] = {}
    for report in reports:
        manifest, image = report.manifest, report.manifest.image
        splits = ", ".join(f"{s.num_samples:,} {name}" for name, s in manifest.splits.items())
        per = _counts(report.per_category.values())
        balance = (
            "scene set"
            if per is None
            else (f"{per['number']:,} with {per['least']:,} to {per['most']:,} samples each")
        )
        drawn = ", ".join(f"{value:,.0f} {name}" for name, value in report.sample_bytes.items())
        for name, value in {
            "place": report.place,
            "samples": f"{splits}; {report.measured:,} opened for the figures below",
            "images": f"{image.width}x{image.height}, {image.channels} channel(s)",
            "labels": f"{manifest.task}, {manifest.num_classes:,} classes",
            "categories": balance,
            "blank images": f"{report.blank:,}",
            "nearly equal pairs": f"{report.near_equal:,} among {report.compared:,} of them",
            "bytes a sample": drawn,
            "identity": manifest.identity,
            "content digest": manifest.content_digest,
        }.items():
            rows.setdefault(name, []).append(value)
    return _table([[name, *values] for name, values in rows.items()])


def _distances(one: Report, other: Report) -> str:
    rows = sorted(distances(one, other).items(), key=lambda pair: -pair[1])
    text = "0: equal, 1: nothing in common. Two draws of N images each are about 1 / sqrt(N) apart."
    shown = [[name, f"{value:.3f}"] for name, value in rows]
    return f"<h2>Distances</h2><p>{text}</p>{_table(shown)}"


def _sheet(report: Report, named: bool) -> str:
    images, captions = [], []
    for sample in report.shown:
        images.append(sample.image)
        captions.append(sample.key)
        if sample.mask is not None:
            images.append(colored(sample.mask)[0])
            captions.append("mask")
    buffer = io.BytesIO()
    contact_sheet(images, captions, 8, 128).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    caption = f"<p>{html.escape(report.place)}</p>" if named else ""
    return f'{caption}<img alt="samples" src="data:image/png;base64,{data}">'


def _charts(reports: Sequence[Report], names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        columns = [r.columns.get(name, np.empty(0)) for r in reports]
        columns = [column[~np.isnan(column)] for column in columns]
        both = np.concatenate(columns)
        if not len(both):
            continue
        low, high = float(both.min()), float(both.max())
        edges = np.linspace(low, high if high > low else low + 1, _BARS + 1)
        counts = [np.histogram(column, edges)[0] for column in columns]
        medians = " and ".join(f"{np.median(c):.4g}" for c in columns if len(c))
        text = f"{MEASURES.get(name, name)}; median {medians}"
        found.append(_figure(text, _bars(counts, edges)))
    return found


def _bars(histograms: Sequence[NDArray[np.int64]], edges: NDArray[np.float64]) -> str:
    """Histograms over each other as SVG, each scaled to its own sum."""
    width, height = 300, 110
    step = width / (len(edges) - 1)
    parts = [h / max(h.sum(), 1) for h in histograms]
    top = max((float(part.max()) for part in parts), default=0) or 1.0
    shapes = []
    for part, color in zip(parts, _COLORS, strict=False):
        bars = "".join(
            f'<rect x="{k * step:.1f}" y="{height * (1 - p / top):.1f}" width="{step:.2f}"'
            f' height="{height * p / top:.1f}"/>'
            for k, p in enumerate(part.tolist())
            if p
        )
        shapes.append(f'<g fill="{color}" fill-opacity=".6">{bars}</g>')
    labels = (
        f'<text x="0" y="{height + 14}">{edges[0]:.4g}</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">{edges[-1]:.4g}</text>'
    )
    line = f'<line x2="{width}" y1="{height}" y2="{height}" stroke="#888"/>'
    drawing = "".join([*shapes, line, labels])
    return f'<svg width="{width}" height="{height + 18}" role="img">{drawing}</svg>'


def _figure(caption: str, drawing: str) -> str:
    return f"<figure>{drawing}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _words(name: str, counts: Sequence[tuple[str, int]]) -> str:
    return f"<h3>{html.escape(name)}</h3>{_table([[word, f'{n:,}'] for word, n in counts])}"


def _masks(report: Report) -> str:
    levels = sorted(report.mask_area.items(), key=lambda pair: -pair[1])[:20]
    text = f"{len(report.mask_area):,} levels occur; part of the pixels of the commonest:"
    return f"<p>{text}</p>{_table([[str(level), f'{part:.4f}'] for level, part in levels])}"


def _commands(report: Report) -> str:
    lines = [f"fdsl-gen verify {report.place}"]
    task = report.manifest.recipe.get("train_recipe")
    recipe = f" --recipe {task}" if task else ""
    lines.append(f"fdsl-train pretrain --data {report.place}{recipe} --output runs/pretrain")
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>"
        + "".join(f"<td><code>{html.escape(cell)}</code></td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table>{body}</table>"
