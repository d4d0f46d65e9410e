"""Slow, obvious numpy versions of the measures: loops that read like the formulas.

They share no code with the library. All take and give float64; labels of -1 are not handled here.
"""

import math
from collections.abc import Iterator

import numpy as np

Array = np.ndarray


def pairs(size: int) -> Iterator[tuple[int, int]]:
    return ((a, b) for b in range(size) for a in range(b))


def centred(rows: Array) -> Array:
    return rows - rows.mean(axis=0)


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def pair_cosines(rows: Array) -> Array:
    return np.array([cosine(rows[a], rows[b]) for a, b in pairs(len(rows))])


def etf_gram(num_classes: int) -> Array:
    return (np.eye(num_classes) - 1 / num_classes) / math.sqrt(num_classes - 1)


def gram_distance(gram: Array) -> float:
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - etf_gram(len(gram))))


def etf_distance(rows: Array) -> float:
    return gram_distance(rows @ rows.T)


def cross_etf_distance(text: Array, means: Array) -> float:
    return gram_distance(text @ means.T)


def delta_lcd(rows: Array, power: float = 1) -> float:
    return float(np.mean(np.abs(pair_cosines(rows) + 1 / (len(rows) - 1)) ** power))


def variation(values: Array) -> float:
    return float(np.std(values) / np.mean(values))


def kernel_mean_and_variance(rows: Array, kernel: str) -> tuple[float, float]:
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = []
    for a, b in pairs(len(rows)):
        distance = float(np.linalg.norm(units[a] - units[b]))
        values.append(math.log(1 / distance) if kernel == "log" else distance)
    return float(np.mean(values)), float(np.var(values))


def log_riesz(rows: Array) -> tuple[float, float]:
    """Logarithms of the Riesz kernel's mean and variance, by exact sums of scaled terms."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    exponent = rows.shape[1] - 2
    logs = [
        -exponent * math.log(float(np.linalg.norm(units[a] - units[b])))
        for a, b in pairs(len(rows))
    ]
    top = max(logs)
    scaled = [math.exp(value - top) for value in logs]
    mean = math.fsum(scaled) / len(scaled)
    variance = math.fsum((value - mean) ** 2 for value in scaled) / len(scaled)
    return math.log(mean) + top, math.log(variance) + 2 * top


def self_duality(text: Array, means: Array) -> float:
    return float(np.linalg.norm(text / np.linalg.norm(text) - means / np.linalg.norm(means)))


def cka_distance(text: Array, means: Array) -> float:
    left, right = text @ text.T, means @ means.T
    cka = np.sum(left * right) / (np.linalg.norm(left) * np.linalg.norm(right))
    return math.sqrt(max(0.0, 2 - 2 * cka))


def delta_mid(text: Array, means: Array) -> float:
    return float(np.mean([1 - cosine(g, h) for g, h in zip(text, means, strict=True)]))


def class_means(features: Array, labels: Array, num_classes: int) -> Array:
    return np.stack([features[labels == k].mean(axis=0) for k in range(num_classes)])


def class_balanced(values: Array, labels: Array) -> float:
    """Mean over the classes that occur of the mean over the class."""
    return float(np.mean([values[labels == k].mean() for k in np.unique(labels)]))


def covariances(features: Array, labels: Array, num_classes: int) -> list[Array]:
    return [np.atleast_2d(np.cov(features[labels == k].T, ddof=0)) for k in range(num_classes)]


def between_scatter(means: Array, centre: Array) -> Array:
    return (means - centre).T @ (means - centre) / len(means)


def nc1(
    features: Array, labels: Array, num_classes: int, *, balanced: bool = True, rtol: float = 1e-10
) -> float:
    """tr(Sigma_W Sigma_B^+) / K; `balanced` averages Sigma_W over classes, else over samples."""
    parts = covariances(features, labels, num_classes)
    weights = None if balanced else np.bincount(labels, minlength=num_classes)
    within = np.average(parts, axis=0, weights=weights)
    means = class_means(features, labels, num_classes)
    between = between_scatter(means, means.mean(axis=0))
    inverse = np.linalg.pinv(between, rcond=rtol, hermitian=True)
    return float(np.trace(within @ inverse)) / num_classes


def spreads(features: Array, labels: Array, num_classes: int) -> Array:
    return np.array([np.trace(part) for part in covariances(features, labels, num_classes)])


def cdnv(features: Array, labels: Array, num_classes: int) -> float:
    means = class_means(features, labels, num_classes)
    found = spreads(features, labels, num_classes)
    return float(
        np.mean(
            [
                (found[a] + found[b]) / (2 * np.sum((means[a] - means[b]) ** 2))
                for a, b in pairs(num_classes)
            ]
        )
    )


def nearest_centres(features: Array, means: Array) -> Array:
    return np.array([np.argmin(((means - row) ** 2).sum(axis=1)) for row in features])


def uniformity(rows: Array, t: float = 2.0) -> float:
    values = [math.exp(-t * float(np.sum((rows[a] - rows[b]) ** 2))) for a, b in pairs(len(rows))]
    return math.log(math.fsum(values) / len(values))


def spectrum(rows: Array) -> Array:
    """Shares of the eigenvalues of the Gram matrix."""
    values = np.linalg.svd(rows, compute_uv=False) ** 2
    return values / values.sum()


def effective_rank(rows: Array) -> float:
    shares = spectrum(rows)
    shares = shares[shares > 1e-14]
    return math.exp(-math.fsum(shares * np.log(shares)))


def participation_ratio(rows: Array) -> float:
    return float(1 / np.sum(spectrum(rows) ** 2))


def ece(logits: Array, labels: Array, weights: Array, num_bins: int = 15) -> float:
    """Expected calibration error with a weight a sample."""
    total = 0.0
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for b in range(num_bins):
        inside = (confidence > b / num_bins) & (confidence <= (b + 1) / num_bins)
        if inside.any():
            share = weights[inside] / weights[inside].sum()
            gap = abs(float(share @ hit[inside]) - float(share @ confidence[inside]))
            total += gap * float(weights[inside].sum() / weights.sum())
    return total


def push_pull(features: Array, labels: Array, text: Array, *, linear: bool = False) -> float:
    num_classes = len(text)
    values = []
    for row, label in zip(features, labels, strict=True):
        cosines = [cosine(row, g) for g in text]
        own = cosines.pop(label)
        pull = 1 - own if linear else 0.5 * (own - 1) ** 2
        push = sum((c + 1 / (num_classes - 1)) ** 2 for c in cosines) / (2 * (num_classes - 1))
        values.append(pull + push)
    return class_balanced(np.array(values), labels)


def log_collapse(features: Array, labels: Array, text: Array) -> float:
    num_classes = len(text)
    values = []
    for row, label in zip(features, labels, strict=True):
        total = 0.0
        for k, g in enumerate(text):
            cos = cosine(row, g)
            miss = (num_classes - 1) / num_classes * abs(1 / (num_classes - 1) + cos)
            total -= math.log((1 + cos) / 2) if k == label else math.log(1 - miss)
        values.append(total / num_classes)
    return class_balanced(np.array(values), labels)
