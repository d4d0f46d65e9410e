"""The picture of docs/real-study.md, drawn of the numbers in its tables.

    python benchmarks/real_picture.py docs/real-study.md docs/img/real-study.png

Left, what goes with accuracy between tasks; right, what moving the same measure towards its ideal
buys. Needs kaleido and a Chromium.
"""

import re
import sys
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

SHOWN = {  # the measure's row under "Between tasks", the move's under "Lever", its name here
    "Δ LCD, raw": ("centre_text", "Δ LCD, raw"),
    "Δ LCD, centred": ("snap_text", "Δ LCD, centred"),
    "Δ MID, centred": ("rotate_text", "Δ MID, centred"),
    "NC3": ("text_to_means", "NC3"),
    "modality gap": ("close_gap", "modality gap"),
    "NC1": ("whiten", "NC1"),
}
COLOURS = {"related": "#b45309", "random": "#1d4ed8"}
LIGHT = {"related": "#f0a868", "random": "#8fb0f5"}
Value = tuple[float, float, float]


def rows(part: str) -> dict[str, list[str]]:
    """The cells of a part's table rows by their first."""
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def value(cell: str) -> Value:
    found = re.findall(r"[-+]\d+\.\d+", cell.replace("−", "-"))
    mean, low, high = map(float, found[-3:])
    return mean, low, high


def points(name: str, colour: str, values: dict[str, Value], offset: float) -> go.Scatter:
    """Dots with their intervals, one a measure, above or below the measure's line by `offset`."""
    means = [mean for mean, _, _ in values.values()]
    return go.Scatter(
        x=means, y=[place + offset for place in range(len(values))], mode="markers", name=name,
        showlegend=bool(name),
        marker={"color": colour, "size": 9},
        error_x={"array": [high - mean for mean, _, high in values.values()],
                 "arrayminus": [mean - low for mean, low, _ in values.values()],
                 "color": colour, "thickness": 1.5, "width": 0},
    )  # fmt: skip


def main(page: Path, picture: Path) -> None:
    text = page.read_text(encoding="utf-8")
    observed = rows(text.split("### Between tasks")[1].split("### ")[0])
    levers = {kind: rows(text.split(f"`{kind}` tasks:")[1].split("\n\n")[1]) for kind in COLOURS}
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04,
        subplot_titles=("goes with accuracy: ρ between tasks",
                        "points bought: all the way (pale: a quarter)"),
    )  # fmt: skip
    for number, kind in enumerate(COLOURS):
        column = {"random": 1, "related": 2}[kind]
        seen = {name: value(observed[name][column]) for name in SHOWN}
        figure.add_trace(points(f"{kind} classes", COLOURS[kind], seen, 0.12 - 0.24 * number), 1, 1)
        for step, colours, column in ((0.25, LIGHT, 1), (1, COLOURS, 3)):
            moved = {name: value(levers[kind][move][column]) for name, (move, _) in SHOWN.items()}
            offset = (0.3 if step < 1 else 0.1) - 0.4 * number
            figure.add_trace(points("", colours[kind], moved, offset), 1, 2)
    figure.update_yaxes(tickvals=list(range(len(SHOWN))), ticktext=[n for _, n in SHOWN.values()])
    figure.update_xaxes(zeroline=True, zerolinecolor="#444", gridcolor="#e5e5e5")
    figure.update_layout(
        template="plotly_white", width=960, height=400, margin={"l": 10, "r": 10, "t": 40, "b": 50},
        font={"size": 13},
        legend={"orientation": "h", "y": -0.12, "x": 0.5, "xanchor": "center", "yanchor": "top"},
    )  # fmt: skip
    figure.write_image(picture)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
