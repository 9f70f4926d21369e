"""Draws lines over time as an SVG: a few panels one above the other, with one time axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _PANEL, _GAP, _LEFT, _TOP, _RIGHT = 900, 150, 46, 90, 60, 20
_COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#cb2f2f", "#787774", "#b8860b", "#2b2b2b")
_POINTS = 400  # more are not visible

_FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#37352f"'

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity: its name, line name → points, and a limit, which is drawn dashed."""

    title: str
    lines: Mapping[str, Points]
    limit: Points = ()
    limit_name: str = ""


def svg(title: str, panels: Sequence[Panel]) -> str:
    """The SVG's text; times are in seconds."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
    end = max((points[-1][0] for panel in panels for points in panel.lines.values() if points), default=1.0)
    height = _TOP + len(panels) * (_PANEL + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
        *_legend(colours),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, colours, end, _TOP + number * (_PANEL + _GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(colours: dict[str, str]) -> list[str]:
    parts, x = [], float(_LEFT)
    for name, colour in colours.items():
        parts.append(f'<rect x="{x:.0f}" y="31" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 19:.0f}" y="38">{escape(name)}</text>')
        x += 34 + 6.8 * len(name)
    return parts


def _panel(panel: Panel, colours: dict[str, str], end: float, top: float) -> list[str]:
    most = max((value for points in panel.lines.values() for _, value in points), default=0) or 1.0
    width = _WIDTH - _LEFT - _RIGHT
    bottom = top + _PANEL

    def drawn(points: Points) -> str:
        step = max(len(points) // _POINTS, 1)
        kept = [*points[::step], points[-1]] if points else []
        return " ".join(
            f"{_LEFT + min(second / end, 1) * width:.1f},{bottom - min(value / most, 1) * (_PANEL - 22):.1f}"
            for second, value in kept
        )

    parts = [f'<text x="{_LEFT}" y="{top + 12:.0f}" font-weight="600">{escape(panel.title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (_PANEL - 22)
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e2e0"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(most * share)}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + share * width
        parts.append(f'<text x="{x:.0f}" y="{bottom + 16:.0f}" text-anchor="middle">{end * share:,.0f} s</text>')
    if panel.limit:
        parts.append(
            f'<polyline points="{drawn(panel.limit)}" fill="none" stroke="#37352f" stroke-dasharray="5 4">'
            f"<title>{escape(panel.limit_name)}</title></polyline>"
        )
    for name, points in panel.lines.items():
        parts.append(
            f'<polyline points="{drawn(points)}" fill="none" stroke="{colours[name]}" stroke-width="1.8">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return parts


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):,.1f}".removesuffix(".0") + f" {unit}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"  # noqa: PLR2004 -- small ones need a decimal
