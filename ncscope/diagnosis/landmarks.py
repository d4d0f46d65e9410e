"""What a headline number can be placed among: real CLIP, random directions, full collapse.

Real values are zero-shot OpenAI CLIP, measured with this library. K classes, D width.
"""

import math
from collections.abc import Mapping
from typing import Any

# Name -> path in `summary` -> value. ViT-B/32: 1000 classes with 7 images each, and the 35 classes
# of Caltech-101 that LVIS names, 922 images. ViT-B/16: 500 images with a caption each.
REAL: dict[str, dict[str, float]] = {
    "ImageNet": {
        "accuracy.top1": 0.611, "delta_lcd.raw": 0.613, "delta_lcd.centred": 0.092,
        "delta_mid.raw": 0.655, "delta_mid.centred": 0.623, "modality_gap": 0.871, "nc1": 3.14,
        "nc3": 1.12,
    },
    "Caltech-35": {
        "accuracy.top1": 0.976, "delta_lcd.raw": 0.793, "delta_lcd.centred": 0.074,
        "delta_mid.raw": 0.669, "delta_mid.centred": 0.556, "modality_gap": 0.972, "nc1": 0.270,
        "nc3": 1.07,
    },
    "COCO": {
        "delta_lcd.raw": 0.517, "delta_lcd.centred": 0.116, "delta_mid.raw": 0.690,
        "delta_mid.centred": 0.685, "modality_gap": 0.851,
    },
}  # fmt: skip

# Path in `summary` -> what collapse means there; the strip's rows in their order
MEANING: dict[str, str] = {
    "accuracy.top1": "no measure of collapse: what it should serve",
    "delta_lcd.centred": "0: texts spread into a simplex, the collapse NPT asks for",
    "delta_lcd.raw": "0: a simplex; at its maximum all texts are one vector, which is bad",
    "delta_mid.centred": "0: each text points where its own class's images do",
    "delta_mid.raw": "the same with the modalities' offset, which is most of it",
    "modality_gap": "0: texts and images have one centre; no decision depends on it",
    "nc1": "0: the images of a class are one point; depends on images a class",
    "nc3": "0: texts and class means are one frame, turned and scaled alike",
    "effective_rank.text": "K − 1: texts use all directions evenly; 1: they lie on a line",
}


def landmarks(path: str, record: Mapping[str, Any]) -> dict[str, float]:
    """Reference values of a summary path, by name, for a run of these sizes.

    `random` is what independent random directions give: of cosines in D dimensions the mean size is
    about sqrt(2 / (pi D)), of unrelated texts and class means ΔMID is 1 and NC3 sqrt(2).
    """
    size, width = record["classes"], record["dim"]
    found = {name: values[path] for name, values in REAL.items() if path in values}
    if path == "nc1" and "ImageNet" in found:
        found = {"ImageNet, 7 a class": found.pop("ImageNet"), **found}
    if path.startswith("delta_lcd"):
        found["random"] = math.sqrt(2 / (math.pi * width))
    if path == "delta_lcd.raw":
        found["one vector"] = size / (size - 1)
    if path.startswith("delta_mid"):
        found["unrelated"] = 1.0
    if path == "nc3":
        found["unrelated"] = math.sqrt(2)
    if path == "accuracy.top1":
        found["chance"] = 1 / size
    if path == "effective_rank.text":
        found["simplex"] = float(min(size - 1, width))
    return found
