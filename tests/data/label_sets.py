"""Image sets that are labels and nothing else: item i is `i.png`, and loading it gives i."""

import random

from ncscope.data.images import ImageSet


def name_of(index):
    return index


def image_set(labels, *, names=None):
    names = names or [f"c{k}" for k in range(max(labels) + 1)]
    items = tuple(f"{i}.png" for i in range(len(labels)))
    return ImageSet("set", tuple(names), tuple(labels), items, "digest", name_of)  # pyright: ignore


def shuffled_labels(sizes, *, seed=0):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    random.Random(seed).shuffle(labels)
    return labels


def pairs(images):
    return list(zip(images.items, images.labels, strict=True))
