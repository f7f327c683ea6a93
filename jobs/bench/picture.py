"""Latency against load, drawn as SVG. The same report gives the same file; the numbers at the points are clients."""

from __future__ import annotations

import io
import re
from typing import Literal

from actors.errors import InvalidRequest
from jobs.bench.report import Json

LINES: tuple[tuple[str, Literal["-", "--", ":"], str], ...] = (
    ("p50_ms", "-", "p50"),
    ("p95_ms", "--", "p95"),
    ("p99_ms", ":", "p99"),
)
COLOURS = ("#1b6ca8", "#c2571a", "#2e7d4f", "#7b4397", "#8a6d1f", "#b03060")


def svg(report: Json) -> str:
    """The picture of a report whose result has curves, text kept as text."""
    return _drawn(report, "svg").decode("utf-8")


def png(report: Json) -> bytes:
    """The same picture as pixels."""
    return _drawn(report, "png")


def _drawn(report: Json, kind: str) -> bytes:
    """Raises InvalidRequest when matplotlib is not installed."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.ticker import LogLocator, NullFormatter
    except ImportError as error:
        raise InvalidRequest("a picture needs matplotlib: pip install 'memory-os[bench]'") from error
    curves = report["result"]["curves"]
    with matplotlib.rc_context({"svg.hashsalt": "memos", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
            loads = [point["x"] for point in curve["points"]]
            for name, style, _ in LINES:
                axes.plot(loads, [p[name] for p in curve["points"]], style, color=colour, marker="o", markersize=3)
            for point in curve["points"]:
                axes.annotate(
                    point["label"], (point["x"], point["p50_ms"]), (0, -11), textcoords="offset points",
                    ha="center", color=colour, fontsize=7,
                )  # fmt: skip
        axes.set(xlabel=curves[0]["unit"], ylabel="milliseconds", yscale="log", title=_title(report))
        axes.set_xlim(left=0)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.5)
        shown = [Line2D([], [], color=c, label=curve["name"]) for curve, c in zip(curves, COLOURS * 9, strict=False)]
        shown += [Line2D([], [], color="#555555", linestyle=style, label=label) for _, style, label in LINES]
        axes.legend(handles=shown, fontsize=7, loc="best")
        target = io.BytesIO()
        figure.savefig(target, format=kind, metadata={"Date": None} if kind == "svg" else {}, dpi=130)
    return re.sub(rb"[ \t]+$", b"", target.getvalue(), flags=re.M) if kind == "svg" else target.getvalue()


def _title(report: Json) -> str:
    machine = report["machine"]
    return f"{report['benchmark']} · {report['commit']} · {machine['cores']} cores, {machine['processor']}"
