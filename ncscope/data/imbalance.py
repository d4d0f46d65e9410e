"""Long-tailed training sets: how many images each class gets, and which class is the head.

K classes; tau is the share of the largest class that the smallest gets, n_min / n_max <= 1.
"""

import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import floor

from ncscope.errors import DataError

CLASS_ORDERS = ("index", "frequency", "random")


def imbalanced_counts(num_classes: int, *, most: int, tau: float) -> list[int]:
    """Return max(floor(most * tau^(k / (K - 1))), 1) for k = 0..K-1, from head to tail.

    The exponential profile of Cui et al. 2019 (arXiv:1901.05555). `tau` is taken as the decimal
    number it is written as, and the floor is exact: 16 images at 0.25 end with 4, not with 3.
    A single class gets `most`.

    Raises:
        DataError: no classes, `most` below 1, `tau` outside 0 < tau <= 1.
    """
    if num_classes < 1 or most < 1:
        raise DataError(f"{most} images for each of {num_classes} classes; expected at least 1")
    if not 0 < tau <= 1:
        raise DataError(
            f"`tau` is {tau}; expected 0 < tau <= 1, the smallest class over the largest"
        )
    last = max(num_classes - 1, 1)
    return [max(_floor_of_power(most, tau, k, last), 1) for k in range(num_classes)]


def rank_classes(order: str, sizes: Sequence[int], *, seed: int) -> tuple[int, ...]:
    """Return the labels 0..K-1 from head to tail.

    Args:
        order: `index`, as the labels are; `frequency`, by `sizes` descending, ties in label order;
            `random`, a permutation that depends on `seed` and the number of classes alone.
        sizes: K numbers, how many images each class has.

    Raises:
        DataError: an unknown `order`.
    """
    labels = range(len(sizes))
    if order == "index":
        return tuple(labels)
    if order == "frequency":
        return tuple(sorted(labels, key=lambda label: (-sizes[label], label)))
    if order == "random":
        # a stream of its own, so that the draw of the images does not depend on the class order
        return tuple(random.Random(f"class order {seed}").sample(labels, len(labels)))
    raise DataError(f"`class_order` is {order!r}; expected one of {', '.join(CLASS_ORDERS)}")


def class_sizes(labels: Sequence[int], num_classes: int) -> list[int]:
    """How many images each of the K classes has; images of unknown class (-1) do not count."""
    found = Counter(labels)
    return [found[label] for label in range(num_classes)]


def _floor_of_power(most: int, tau: float, k: int, last: int) -> int:
    """floor(most * tau^(k / last)), decided in whole numbers where floats are too coarse."""
    value = most * tau ** (k / last)
    nearest = round(value)
    if abs(value - nearest) > 1e-9 * most:
        return floor(value)
    share = Fraction(repr(float(tau)))  # the decimal number: 0.1 is a tenth
    reached = (most**last) * share.numerator**k >= (nearest**last) * share.denominator**k
    return nearest if reached else nearest - 1
