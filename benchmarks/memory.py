"""Peak memory of all measures over the number of images and over that of classes, as a picture.

    python benchmarks/memory.py [--samples 20000 ... 1281167] [--classes 1000 ... 21841]
                                [--folder DIR] [--out docs/img/memory.png]

Over images: a .safetensors file of so many x 512 float32 of 100 classes, made in a temporary
folder and deleted afterwards (2.6 GB at 1.28M), read by memory map by `analyze(FILE, bootstrap=0)`.
Over classes: random text of width 512 alone, and with an image a class. Each point is a fresh
process, one thread; memory is the peak of RssAnon above what was held once torch was imported
(pages of the mapped file count as RssFile and are given back under pressure), text and images in
memory with it. The picture needs the extra `images`; numbers are printed either way.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from large import WIDTH, Peak, write

SAMPLES = (20_000, 80_000, 320_000, 1_281_167)
CLASSES = (1000, 2500, 5000, 10_000, 21_841)
OF_IMAGES = 100  # classes of the files of many images


def of_file(path: str) -> dict:
    import ncscope

    ncscope.analyze(ncscope.Features(text=made(10)), bootstrap=0)
    with Peak() as peak:
        ncscope.analyze(path, bootstrap=0)
    return peak.result()


def made(classes: int):
    import torch

    return torch.randn(classes, WIDTH, generator=torch.Generator().manual_seed(0))


def of_classes(classes: int, images: int) -> dict:
    import torch

    import ncscope
    from ncscope.diagnosis.measure import measure

    measure(ncscope.Features(text=made(10)), bootstrap=0)
    with Peak() as peak:
        text, label = made(classes), torch.arange(classes)
        image = text + 2 * torch.randn(text.shape) if images else None
        given = ncscope.Features(image, label if images else None, text)
        measure(given, bootstrap=0)
    return peak.result()


def apart(*words: object) -> dict:
    """One point, in a fresh process."""
    command = [sys.executable, __file__, "--child", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    print(*words[:1], *words[-2:], json.dumps(found), flush=True)
    return found


def draw(
    over_images: dict[int, float], over_classes: dict[str, dict[int, float]], out: str
) -> None:
    """Two panels on logarithmic axes; what is held anyway is dashed."""
    from plotly.subplots import make_subplots

    from ncscope.figures.export import save_figure

    figure = make_subplots(1, 2, subplot_titles=("over images, K = 100", "over classes"))
    colours = {"all measures of a mapped file": "#1f5fa8", "text alone": "#b5542b",
               "text and an image a class": "#1f5fa8"}  # fmt: skip
    curves = [(1, "all measures of a mapped file", over_images)]
    curves += [(2, name, points) for name, points in over_classes.items()]
    for column, name, points in curves:
        x, y = list(points), list(points.values())
        figure.add_scatter(
            x=x, y=y, name=name, mode="lines+markers", line_color=colours[name], row=1, col=column
        )
    for column, x, name, sizes in (
        (1, list(over_images), "the file", 4 * WIDTH),
        (2, sorted({k for points in over_classes.values() for k in points}), "a K x K matrix", 0),
    ):
        held = [(k * sizes if sizes else 8 * k * k) / 1e6 for k in x]
        figure.add_scatter(
            x=x, y=held, name=name, mode="lines", line={"color": "#8a9099", "dash": "dot"},
            row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(type="log", dtick="D2", title_text="images", row=1, col=1)
    figure.update_xaxes(type="log", dtick="D2", title_text="classes", row=1, col=2)
    figure.update_yaxes(type="log", dtick=1, title_text="MB", range=[1, 4])
    figure.update_layout(
        template="plotly_white", legend={"orientation": "h", "y": -0.2}, margin={"t": 40, "b": 40}
    )
    save_figure(figure, out, width=1100, height=460)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="*", default=list(SAMPLES))
    parser.add_argument("--classes", type=int, nargs="*", default=list(CLASSES))
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--out", help="a .png, .svg or .pdf")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, *words = given.child
        found = of_file(*words) if kind == "file" else of_classes(int(words[0]), int(words[1]))
        print(json.dumps(found))
        return
    over_images: dict[int, float] = {}
    for samples in given.samples:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            path = pathlib.Path(folder) / f"{samples}.safetensors"
            write(path, samples, OF_IMAGES, half=False, unlabelled=False)
            over_images[samples] = apart("file", path)["extra_mb"]
    over_classes = {
        name: {k: apart("classes", k, images)["extra_mb"] for k in given.classes}
        for name, images in (("text alone", 0), ("text and an image a class", 1))
    }
    if given.out:
        draw(over_images, over_classes, given.out)


if __name__ == "__main__":
    main()
