"""The sheet of a figure: panels in a row, title and facts above, legend and notes below, nothing overlapping.

`look` chooses style and size for all that is drawn inside it; functions that draw ask for neither. The colours are in
light.mplstyle and dark.mplstyle, the rest in figure.mplstyle. Without pyplot, whose state is global.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from dropout_lab.errors import printable


class Size(NamedTuple):
    """The size of a figure: width and height in inches, and a factor for the size of text and lines."""

    width: float
    height: float | None  # None: as high as the contents need
    scale: float


HOUSE = Path(__file__).parent
STYLES = {name: HOUSE / f"{name}.mplstyle" for name in ("light", "dark")}
SIZES = {"page": Size(10.0, None, 1.0), "slide": Size(40 / 3, 7.5, 1.35)}
FORMATS: dict[str, dict[str, None]] = {  # and the metadata to leave out, which change with the day or the version
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
PANEL, SPACE = 2.9, 0.12  # inches: the least height of a panel, and the space between blocks of text
NAMED, COLUMNS = 24, 8  # entries of a legend, and its columns, at most
SMALLEST = 0.6  # of its size: text around the panels of a slide shrinks no further
SCALED: Any = ("font.size", "figure.titlesize", "figure.labelsize", "axes.titlesize", "axes.labelsize")
SCALED += ("xtick.labelsize", "ytick.labelsize", "legend.fontsize")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_look: ContextVar[tuple[str, str]] = ContextVar("look", default=("light", "page"))


@contextmanager
def look(style: str, size: str) -> Iterator[None]:
    """Draw and write figures in this block with a style of STYLES and a size of SIZES. The default: light, page."""
    token = _look.set((style, size))
    try:
        yield
    finally:
        _look.reset(token)


def styled(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make `draw` use the current look. The user's matplotlibrc has no effect on it."""

    @functools.wraps(draw)
    def in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with matplotlib.style.context(_settings(*_look.get())):
            return draw(*args, **kwargs)

    return in_style


@functools.cache
def _settings(name: str, size: str) -> list[Any]:
    """Return the settings of a style: its files, then the sizes of text. A dollar sign does not begin a formula."""
    files = [HOUSE / "figure.mplstyle", STYLES[name]]
    with matplotlib.style.context(["default", *files]):
        text = {key: matplotlib.rcParams[key] * SIZES[size].scale for key in SCALED}
    return ["default", *files, {"text.parse_math": False, **text}]


@styled
def encoded(figure: Figure, form: str = "png") -> bytes:
    """Return `figure` in a format of FORMATS. Equal figures give equal bytes on the same machine."""
    buffer = BytesIO()
    figure.savefig(buffer, format=form, metadata=FORMATS[form])
    return buffer.getvalue()


Entries = list[tuple[Artist, str]]  # of a legend


class Page(Figure):
    """A figure that a notebook shows without pyplot: the notebook calls `_repr_png_`."""

    def _repr_png_(self) -> bytes:
        return encoded(self)


def panels(*titles: str, over: str = "epoch", height: float = PANEL) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, each with its measure as title and `over` as the label below.

    height: of the panels, in inches. In a figure of fixed height they have what the texts leave.
    """
    figure = Page(figsize=(_size().width, height))
    axes = [figure.add_subplot(1, len(titles), i, title=title) for i, title in enumerate(titles, start=1)]
    for axis in axes:
        axis.set_xlabel(textwrap.fill(label(over), 24))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=over == "epoch", min_n_ticks=1))
    return figure, axes


def colours() -> list[str]:
    """Return the colours of the style: for training, for validation, for guides, and then for the runs."""
    return list(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"])


def label(text: str) -> str:
    """Return `text` with control characters, and characters without a glyph in the font, escaped."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    known = font.get_char_index
    return "".join(c if known(ord(c)) else c.encode("unicode_escape").decode() for c in printable(text))


def compose(figure: Figure, title: str, facts: str, notes: str, entries: Entries) -> Figure:
    """Put title and facts above the panels, legend and notes below.

    The figure becomes as high as its contents need. If its height is fixed, the text shrinks until it fits.
    """
    for axis in figure.axes:
        if not np.isfinite(axis.dataLim.get_points()).all():
            axis.set_yticks([])
            axis.text(0.5, 0.5, "nothing to draw", horizontalalignment="center", transform=axis.transAxes)
        for line in axis.lines:
            line.set(linewidth=_size().scale * line.get_linewidth(), markersize=_size().scale * line.get_markersize())
    panel = figure.get_figheight()
    labels = max(size(axis)[1] - axis.bbox.height / figure.dpi for axis in figure.axes)
    wanted, share, sizes = _size().height, 1.0, matplotlib.rcParams
    while True:
        blocks = heading, subtitle, legend, footer = (
            _text(figure, title, share * sizes["figure.titlesize"], sizes["figure.titleweight"]),
            _text(figure, facts, share * sizes["figure.labelsize"]),
            _legend(figure, entries, share * sizes["legend.fontsize"]),
            _text(figure, notes, share * sizes["legend.fontsize"]),
        )
        first, second, third, last = (size(block)[1] + SPACE for block in blocks)
        around = SPACE + first + second + SPACE + third + last
        height = max(around + panel + labels, wanted or 0)
        if wanted in (None, height) or share < SMALLEST:
            break
        for block in blocks:
            block.remove()
        share -= 0.05
    width = figure.get_figwidth()
    figure.set_size_inches(width, height)
    left = SPACE / width
    heading.set_position((left, 1 - SPACE / height))
    subtitle.set_position((left, 1 - (SPACE + first) / height))
    legend.set_bbox_to_anchor((0.5, (third + last) / height))
    footer.set_position((left, last / height))
    rect = left, (third + last + SPACE) / height, 1 - 2 * left, 1 - around / height
    figure.set_layout_engine("constrained", rect=rect, wspace=0.04)
    return figure


def _text(figure: Figure, text: str, points: float, weight: str | int = "normal") -> Text:
    """Write `text`, wrapped to the width of the figure."""
    block = figure.text(0, 0, "", fontsize=points, fontweight=weight, verticalalignment="top")
    for letters in range(240, 20, -10):
        block.set_text(textwrap.fill(label(text), letters))
        if size(block)[0] <= figure.get_figwidth() - 2 * SPACE:
            break
    return block


def _legend(figure: Figure, entries: Entries, points: float) -> Legend:
    """Write the legend outside the axes, in as many columns as fit into the width of the figure.

    Of more entries than a reader can tell apart the first are written, and how many are left out.
    """
    if more := len(entries) - NAMED if len(entries) > NAMED + 1 else 0:
        entries = [*entries[:NAMED], (Line2D([], [], linestyle="none"), f"and {more} more")]
    artists, labels = [artist for artist, _ in entries], [textwrap.fill(label(text), 80) for _, text in entries]
    place: dict[str, Any] = {"loc": "upper center", "borderaxespad": 0, "borderpad": 0, "fontsize": points}
    for columns in range(min(len(entries), COLUMNS), 0, -1):
        legend = figure.legend(artists, labels, ncols=columns, **place)
        if columns == 1 or size(legend)[0] <= figure.get_figwidth() - 2 * SPACE:
            break
        legend.remove()
    return legend


def _size() -> Size:
    return SIZES[_look.get()[1]]


def size(artist: Artist) -> tuple[float, float]:
    """Return width and height, in inches, of all that `artist` draws."""
    figure, box = artist.get_figure(root=True), artist.get_tightbbox()
    assert figure is not None and box is not None, "measured only while in a figure, and visible"
    return max(0.0, box.width / figure.dpi), max(0.0, box.height / figure.dpi)  # the box of no text is minus infinity
