"""Small pieces of HTML."""

import html

import numpy as np

escape = html.escape


def paragraph(text, kind=""):
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(head, rows, numbers=()):
    """`head`: plain texts; `rows`: lists of HTML cells, or (class, cells); `numbers`: columns aligned to the right."""
    def cell(tag, column, content):
        return f'<{tag} class="n">{content}</{tag}>' if column in numbers else f"<{tag}>{content}</{tag}>"
    lines = ["<tr>" + "".join(cell("th", i, escape(text)) for i, text in enumerate(head)) + "</tr>"] if head else []
    for row in rows:
        kind, cells = row if isinstance(row, tuple) else ("", row)
        cells = "".join(cell("td", i, content) for i, content in enumerate(cells))
        lines.append((f'<tr class="{kind}">' if kind else "<tr>") + cells + "</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def interval_text(interval, sign=False):
    """Ends in percent, cut where a share (or, with `sign`, a difference of shares) can't be."""
    if not np.isfinite(interval.low):
        return "–"
    form = "+.1f" if sign else ".1f"
    low, high = max(interval.low, -1.0 if sign else 0.0), min(interval.high, 1.0)
    return f"{100 * low:{form}} to {100 * high:{form}}"


def points_text(change):
    if not np.isfinite(change.low):
        return f"{100 * change.mean:+.1f} points"
    return f"{100 * change.mean:+.1f} points, 95\u00a0% interval {interval_text(change, sign=True)}"


def number(value):
    """A figure at a readable precision."""
    if value is None or not np.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value / 1e6:,.1f} M"
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.4g}"
    return f"{value:.2e}"


def duration(seconds):
    seconds = float(seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
