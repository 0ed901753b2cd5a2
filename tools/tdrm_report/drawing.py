"""How figures look, and putting them into files and the page."""

import base64
import html
import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

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


def percent(axis, which="y"):
    (axis.yaxis if which == "y" else axis.xaxis).set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def logarithmic(axis):
    """A logarithmic axis with plain numbers: powers of ten, and 2 and 5 in between where few powers are seen."""
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
