"""Plots of a night as inline SVG: text stays text, and the page's own colours apply, in light and in dark.

Matplotlib is imported when a plot is drawn, and draws on figures of its own: no global state, no display.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clarity.screening.report.mix import Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _ACCENT, _WARM = "#010101", "#020202", "#030303", "#040404"
"""Stand-ins that the page's colours replace."""
_COLOURS = {_INK: "--ink", _SOFT: "--soft", _ACCENT: "--accent", _WARM: "--warm"}
_WIDTH = 4.6
"""Inches: a column of a desktop's page, and all of a telephone's."""
_GRADES = ("0 none", "1 mild", "2 moderate", "3 severe", "4 prolif.")


def grade_mix(mix: Sequence[Share]) -> str:
    """Tonight's share of each grade as a bar, the range and median of the nights before over it."""
    figure, axes = _figure(2.7)
    shares = [100 * (row["share"] or 0.0) for row in mix]
    colours = [_WARM if row["outside"] else _ACCENT for row in mix]
    axes.bar(range(len(mix)), shares, color=colours, width=0.62, alpha=0.8)
    for at, row in enumerate(mix):
        middle, low, high = row["median"], row["low"], row["high"]
        if middle is not None and low is not None and high is not None:
            axes.plot([at, at], [100 * low, 100 * high], color=_INK, linewidth=1.4)
            axes.plot([at - 0.22, at + 0.22], [100 * middle, 100 * middle], color=_INK, linewidth=2.2)
    axes.set_xticks(range(len(mix)), _GRADES)
    return _svg(figure, axes, "percentage of the graded photographs by grade")


def outcomes(counts: Mapping[str, int]) -> str:
    """Visits by result, worst first."""
    return _bars(dict(counts), "visits", warm=("refer",))


def steps(seconds: Mapping[str, float]) -> str:
    """How long each step took, in the night's order; the slowest stands out."""
    slowest = max(seconds, key=seconds.__getitem__)
    return _bars({name: round(value, 1) for name, value in seconds.items()}, "seconds", warm=(slowest,))


def qualities(graded: Sequence[int], ungradable: Sequence[int]) -> str:
    """Histograms of the quality score, one upon the other."""
    figure, axes = _figure(2.4)
    width = 1 / len(graded)
    left = [(number + 0.5) * width for number in range(len(graded))]
    axes.bar(left, graded, width=0.9 * width, color=_ACCENT, alpha=0.8, label="graded")
    axes.bar(left, ungradable, width=0.9 * width, bottom=graded, color=_WARM, alpha=0.9, label="ungradable")
    axes.set_xlim(0, 1)
    legend = axes.legend(frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_color(_INK)
    return _svg(figure, axes, "photographs by quality score")


def _bars(values: Mapping[str, float], what: str, *, warm: Sequence[str]) -> str:
    figure, axes = _figure(0.75 + 0.31 * len(values))
    names = list(values)
    colours = [_WARM if name in warm else _ACCENT for name in names]
    axes.barh(range(len(names)), list(values.values()), color=colours, alpha=0.8, height=0.62)
    axes.set_yticks(range(len(names)), [_plain(name) for name in names], parse_math=False)
    axes.invert_yaxis()
    most = max(values.values(), default=0) or 1
    for at, value in enumerate(values.values()):
        axes.text(value + 0.015 * most, at, f"{value:g}", va="center", fontsize=10, color=_INK)
    axes.set_xlim(0, 1.16 * most)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return _svg(figure, axes, what)


def _figure(height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: "Figure", axes: "Axes", title: str) -> str:
    from matplotlib import rc_context

    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_SOFT)
    axes.tick_params(colors=_INK, labelsize=10, length=0)
    buffer = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "clarity", "font.family": "DejaVu Sans"}
    nothing: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with rc_context(settings):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """An element of the page: no prologue, no fixed size, the page's colours and fonts."""
    body = svg[svg.index("<svg") :]
    head, _, rest = body.partition(">")
    body = re.sub(r' (width|height)="[^"]*"', "", head) + ">" + rest
    body = body.replace("<svg", f'<svg role="img" aria-label="{_plain(title)}"', 1)
    body = re.sub(r"font(-family)?: ?([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font\1: \2system-ui, sans-serif", body)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # several plots on one page have the same
    for stand_in, name in _COLOURS.items():
        body = body.replace(stand_in, f"var({name})")
    return body


def _plain(text: str) -> str:
    """Names of steps come from the code; a glyph that the font lacks would still be a warning in the night's log."""
    return "".join(c if (c.isalnum() and c.isascii()) or c in " .,:;%()_-/" else "?" for c in text)
