"""Pull and push of cross-entropy at each class's text feature, as bars from head to tail."""

from collections.abc import Sequence

from ncscope.errors import ShapeError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout
from ncscope.metrics.pull_push import PullPush
from ncscope.text import in_plot, number


def gradient_parts(
    parts: PullPush, names: Sequence[str], counts: Sequence[int], *, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.study_figures.gradient_bars`."""
    size = len(parts.pull)
    if not len(names) == len(counts) == size:
        raise ShapeError(
            f"`names` has {len(names)} and `counts` {len(counts)} entries; expected K = {size}"
        )
    order = sorted(range(size), key=lambda k: -counts[k])
    shown = [f"{in_plot(names[k], 24)} ({counts[k]})" for k in order]
    sides = (
        ("pull of its own images", parts.pull_strength.tolist(), palette.TEXT_SIDE),
        ("push of the others", parts.push_strength.tolist(), palette.IMAGE_SIDE),
    )
    traces = [
        {
            "type": "bar", "name": name, "x": shown, "y": [values[k] for k in order],
            "marker": {"color": colour}, "hovertemplate": "%{x}: %{y:.3g}",
        }
        for name, values, colour in sides
    ]  # fmt: skip
    tail = [k for k in order if counts[k] == min(counts)]
    words = "Length of both parts of the gradient of cross-entropy at each text feature; "
    words += "classes by number of training images, which stands in brackets."
    if len(tail) > 1:
        alike = number(float(parts.push_alignment(parts.pull.new_tensor(tail).long())))
        words += f" The pushes on the {len(tail)} smallest classes have a mean cosine of {alike}."
    layout = base_layout(title, [(None, words)], top=20)
    layout["barmode"] = "group"
    layout["xaxis"] = {**axis(), "type": "category", "showgrid": False}
    layout["yaxis"] = {**axis("length"), "rangemode": "tozero"}
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return traces, layout
