"""How figures look, and putting them into files and the page."""

import base64
import html
import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.ticker import Formatter, LogLocator, NullFormatter  # noqa: E402

# Okabe and Ito's colours: told apart by colour-blind readers and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#666666", "#B8A800", "#000000")
GREY = "#6b7280"
WIDTH = 9.6  # inches; shown at 960 pixels

plt.rcParams.update({
    "figure.dpi": 150, "font.size": 9, "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#9ca3af",
    "axes.grid": True, "grid.color": "#e5e7eb", "grid.linewidth": 0.7, "axes.axisbelow": True, "lines.linewidth": 1.6,
    "legend.frameon": False, "legend.fontsize": 8.5, "xtick.color": "#4b5563", "ytick.color": "#4b5563",
    "axes.labelcolor": "#374151", "text.color": "#111827", "figure.constrained_layout.use": True,
})


def panels(count, columns=2, height=2.4):
    """A figure with `count` panels, and the panels."""
    columns = min(columns, max(count, 1))
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH if columns > 1 else 0.72 * WIDTH, height * rows + 0.2), squeeze=False)
    axes = axes.ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def grid_of_panels(count, legend, columns=2, height=1.3):
    """As panels(), with margins fixed in inches: many panels are laid out in no time. `legend`: whether one comes above."""
    rows = -(-count // columns)
    left, right, above, below, beside, between = 0.75, 0.12, 0.64 if legend else 0.3, 0.5, 0.8, 0.62
    width = (WIDTH - left - right - (columns - 1) * beside) / columns
    total = above + rows * height + (rows - 1) * between + below
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, total), squeeze=False, layout="none")
    figure.subplots_adjust(left / WIDTH, below / total, 1 - right / WIDTH, 1 - above / total, beside / width, between / height)
    axes = axes.ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def legend_above(figure, handles, labels):
    """One legend for all panels, above them."""
    if handles:
        place = "outside upper left" if figure.get_layout_engine() else "upper left"
        figure.legend(handles, labels, loc=place, ncols=min(len(labels), 5), fontsize=9)


def titled(axis, head, meaning="", longest=46):
    """A title with what it means below, of that the part before a colon if it is too long."""
    meaning = meaning if len(meaning) <= longest else meaning.partition(":")[0]
    above = {"xy": (0, 1), "xycoords": "axes fraction", "textcoords": "offset points"}
    axis.annotate(head, xytext=(0, 17), fontsize=9.5, fontweight="bold", **above)
    axis.annotate(meaning, xytext=(0, 6), fontsize=8, color="#4b5563", **above)


def legend_beside(axis):
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def percent(axis, which="y"):
    (axis.yaxis if which == "y" else axis.xaxis).set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


class PlainNumbers(Formatter):
    """Labels that say the whole number each, without a common factor or offset beside the axis, which would touch the title."""

    def format_ticks(self, values):
        largest = max((abs(value) for value in values), default=0)
        plain = largest == 0 or 1e-4 <= largest < 1e6
        # As many decimals as it takes to say all of them.
        decimals = next((d for d in range(9) if all(abs(round(value, d) - value) <= 1e-7 * largest for value in values)), 9)
        return [(f"{value:.{decimals}f}" if plain else f"{value:.3g}").replace("-", "\u2212") for value in values]

    def __call__(self, value, position=None):
        return self.format_ticks([value])[0]


def powers_of_two(axis, sizes):
    """A logarithmic axis of numbers of answers, a share on the other."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(sizes), [str(v) for v in sorted(sizes)])
    axis.minorticks_off()
    percent(axis)


def amounts(axis, values, unit):
    """A logarithmic axis of amounts (of FLOP, say) in thousands, millions, ... of the unit; returns the unit to name."""
    power = int(np.clip(np.floor(np.log10(np.median(values)) / 3), 0, 6))
    scale, wide = 1000.0**power, max(values) > 60 * min(values)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / scale:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    return ("", "k", "M", "G", "T", "P", "E")[power] + unit


def interval_curve(axis, x, intervals, tone, style="-", marker="o", label=None, shift=0.0, bars=True):
    """Means with their intervals; curves are shifted (-0.5 to 0.5) on a logarithmic axis so that intervals don't cover each other."""
    x = np.asarray(x, float) * 1.2**shift
    if bars:
        axis.vlines(x, [v.low for v in intervals], [v.high for v in intervals], color=tone, lw=1.1, alpha=0.45)
    axis.plot(x, [v.mean for v in intervals], style, color=tone, marker=marker, ms=3.5, label=label)


def logarithmic(axis):
    """A logarithmic axis with plain numbers, where figures span a factor of 3: powers of ten, and 2 and 5 in between where few powers are
    seen."""
    low, high = axis.dataLim.intervaly
    if not 0 < 3 * low < high:
        return  # a line is as good, and its ticks say more
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    narrow = high < 60 * low
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if narrow and f"{value:e}"[0] in "25" else "")


def colour(index):
    return COLOURS[index % len(COLOURS)]


def thinned(x, y, points=400):
    """Means over at most `points` stretches of equal length, so that a curve stays a curve."""
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= points:
        return x, y
    edges = np.linspace(0, len(x), points + 1).astype(int)[:-1]
    counts = np.diff(np.append(edges, len(x)))
    return np.add.reduceat(x, edges) / counts, np.add.reduceat(y, edges) / counts


def smoothed(y, share=0.04):
    """Mean over a window of `share` of the curve, cut at its ends."""
    width = int(len(y) * share) // 2
    if width < 1 or len(y) < 3:
        return y
    total = np.concatenate([[0], np.cumsum(y)])
    at = np.arange(len(y))
    first, last = np.maximum(at - width, 0), np.minimum(at + width + 1, len(y))
    return (total[last] - total[first]) / (last - first)


class Album:
    """Saves figures under `directory`/plots and gives the HTML that shows them within the page."""

    def __init__(self, directory):
        self.directory = directory / "plots"

    def show(self, figure, name, caption):
        content = io.BytesIO()
        figure.savefig(content, format="png", facecolor="white", metadata={"Software": None})
        plt.close(figure)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / f"{name}.png").write_bytes(content.getvalue())
        source = base64.b64encode(content.getvalue()).decode()
        width = round(figure.get_figwidth() * 100)
        text = html.escape(caption)
        return (f'<figure><img src="data:image/png;base64,{source}" alt="{text}" style="width:{width}px">'
                f"<figcaption>{text}</figcaption></figure>")
