"""A horizontal bar chart as SVG text: readable on light and dark pages, the number beside each bar.

Knows nothing of benchmarks."""

from dataclasses import dataclass
from html import escape

WIDTH = 760
LABELS = 190  # room for the names, left of the bars
FIGURES = 90  # room for the numbers, right of the longest bar
ROW = 26
BAR = 17
TOP = 58
BOTTOM = 14
BREAK_AT = 6.0  # bars that are longer than this many times the reference are cut, and show it

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 15px; }
  .soft { fill: #57606a; font-size: 12px; }
  .own-text { font-weight: 600; }
  .own { fill: #1f6feb; } .peer { fill: #8c959f; } .floor { fill: #d0d7de; }
  .cut { stroke: #ffffff; stroke-width: 3; fill: none; }
  .page { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .soft { fill: #9198a1; }
    .own { fill: #4493f8; } .peer { fill: #6e7681; } .floor { fill: #3d444d; }
    .cut { stroke: #0d1117; } .page { fill: #0d1117; }
  }
"""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    kind: str = "peer"  # own, peer or floor: the colour


def chart(title: str, subtitle: str, bars: list[Bar]) -> str:
    """The bars from the shortest to the longest."""
    bars = sorted(bars, key=lambda bar: bar.value)
    longest = scale_end(bars)
    height = TOP + ROW * len(bars) + BOTTOM
    rows = [row(bar, TOP + ROW * index, longest) for index, bar in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
            f'<text class="title" x="16" y="25">{escape(title)}</text>',
            f'<text class="soft" x="16" y="44">{escape(subtitle)}</text>',
            *rows,
            "</svg>",
            "",
        ]
    )


def scale_end(bars: list[Bar]) -> float:
    """Where the scale ends: at the longest bar, unless it would make the short ones unreadable."""
    if not bars:
        return 1.0
    measured = [bar.value for bar in bars if bar.kind != "floor"] or [bars[0].value]
    return max(min(max(bar.value for bar in bars), BREAK_AT * min(measured)), 1e-9)


def row(bar: Bar, y: float, longest: float) -> str:
    room = WIDTH - LABELS - FIGURES
    cut = bar.value > longest * 1.001
    length = room if cut else max(1.0, room * bar.value / longest)
    middle = y + BAR / 2
    emphasis = ' class="own-text"' if bar.kind == "own" else ""
    place = f'x="{LABELS - 10}" y="{middle + 4.5:.1f}" text-anchor="end"'
    parts = [
        f"<text{emphasis} {place}>{escape(bar.label)}</text>",
        f'<rect class="{bar.kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
    ]
    if cut:
        x = LABELS + room - 34
        parts.append(f'<path class="cut" d="M{x} {y + BAR + 2} l8 -{BAR + 4} m6 0 l-8 {BAR + 4}"/>')
    number = f"{bar.value:,.1f}" if bar.value < 100 else f"{bar.value:,.0f}"
    parts.append(f'<text{emphasis} x="{LABELS + length + 8:.1f}" y="{middle + 4.5:.1f}">{number}</text>')
    return "".join(parts)
