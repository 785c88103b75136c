"""The page that a figure is: panels in a row, title and facts above, legend and notes below, nothing overlapping.

Colours and fonts live in article.mplstyle. Drawn with matplotlib's object interface, never pyplot: no global state.
"""

from __future__ import annotations

import textwrap
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager, style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from dropout_lab.errors import printable

STYLE = Path(__file__).with_name("article.mplstyle")
WIDTH, PANEL, SPACE = 10.0, 2.9, 0.12  # inches: the width of a figure, the height of a panel, the space between blocks

# The user's matplotlibrc does not leak in, and a dollar sign is a dollar sign, not mathematics.
styled = style.context(["default", STYLE, {"text.parse_math": False}])

Entries = list[tuple[Artist, str]]  # of a legend


@styled
def png(figure: Figure) -> bytes:
    """Return `figure` as a PNG; equal figures give equal bytes on one machine."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


class Page(Figure):
    """A figure that a notebook shows by itself: it asks for `_repr_png_`, and pyplot need not be there."""

    def _repr_png_(self) -> bytes:
        return png(self)


def panels(*titles: str, over: str = "epoch") -> tuple[Figure, list[Axes]]:
    """Return a figure of one row of panels, each with its measure as title and `over` below."""
    figure = Page(figsize=(WIDTH, PANEL))
    axes = [figure.add_subplot(1, len(titles), i, title=title) for i, title in enumerate(titles, start=1)]
    for axis in axes:
        axis.set_xlabel(textwrap.fill(label(over), 24))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=over == "epoch", min_n_ticks=1))
    return figure, axes


def colours() -> list[str]:
    """Return the style's colours: training, validation, guides, and then those of the runs."""
    return list(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"])


def label(text: str) -> str:
    """Return `text` with control characters, and those the font has no glyph for, escaped."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    known = font.get_char_index
    return "".join(c if known(ord(c)) else c.encode("unicode_escape").decode() for c in printable(text))


def compose(figure: Figure, title: str, facts: str, notes: str, entries: Entries) -> Figure:
    """Put title and facts above the panels, legend and notes below; make the figure as high as all this needs."""
    for axis in figure.axes:
        if not np.isfinite(axis.dataLim.get_points()).all():
            axis.set_yticks([])
            axis.text(0.5, 0.5, "nothing to draw", horizontalalignment="center", transform=axis.transAxes)
    look = matplotlib.rcParams
    heading = _text(figure, title, look["figure.titlesize"], look["figure.titleweight"])
    subtitle = _text(figure, facts, look["figure.labelsize"])
    legend = _legend(figure, entries)
    footer = _text(figure, notes, look["legend.fontsize"])
    first, second, third, last = (size(block)[1] + SPACE for block in (heading, subtitle, legend, footer))
    middle = PANEL + max(size(axis)[1] - axis.bbox.height / figure.dpi for axis in figure.axes)  # with their labels
    height = SPACE + first + second + middle + SPACE + third + last
    left, width = SPACE / WIDTH, 1 - 2 * SPACE / WIDTH
    figure.set_size_inches(WIDTH, height)
    heading.set_position((left, 1 - SPACE / height))
    subtitle.set_position((left, 1 - (SPACE + first) / height))
    legend.set_bbox_to_anchor((0.5, (third + last) / height))
    footer.set_position((left, last / height))
    rect = left, (third + last + SPACE) / height, width, middle / height
    figure.set_layout_engine("constrained", rect=rect, wspace=0.04)
    return figure


def _text(figure: Figure, text: str, points: float, weight: str | int = "normal") -> Text:
    """Write `text`, wrapped to the figure's width."""
    block = figure.text(0, 0, "", fontsize=points, fontweight=weight, verticalalignment="top")
    for letters in range(160, 20, -10):
        block.set_text(textwrap.fill(label(text), letters))
        if size(block)[0] <= WIDTH - 2 * SPACE:
            break
    return block


def _legend(figure: Figure, entries: Entries) -> Legend:
    """Write the legend outside the axes, in as many columns as the figure's width takes."""
    artists, labels = [artist for artist, _ in entries], [textwrap.fill(label(text), 80) for _, text in entries]
    for columns in range(len(entries), 0, -1):
        legend = figure.legend(artists, labels, loc="upper center", ncols=columns, borderaxespad=0, borderpad=0)
        if columns == 1 or size(legend)[0] <= WIDTH - 2 * SPACE:
            break
        legend.remove()
    return legend


def size(artist: Artist) -> tuple[float, float]:
    """Return width and height, in inches, of all that `artist` draws."""
    figure, box = artist.get_figure(root=True), artist.get_tightbbox()
    assert figure is not None and box is not None, "measured only while in a figure, and visible"
    return max(0.0, box.width / figure.dpi), max(0.0, box.height / figure.dpi)  # the box of no text is minus infinity
