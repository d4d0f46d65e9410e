"""What can be reached: floors where K > D + 1 leaves no simplex ETF, and maxima.

K classes, D embedding width. Report (value, floor): at K = 1000, D = 512, an `etf_distance` of
0.754 is as collapsed as it gets.
"""

import math


def etf_distance_floor(num_classes: int, width: int) -> float:
    """Least `etf_distance` (text, image or cross, raw or centred) of K vectors in D dimensions.

    0 where D >= K - 1, else sqrt(2 - 2 sqrt(D / (K - 1))), attained by zero-sum tight frames.
    """
    return math.sqrt(2 - 2 * math.sqrt(min(1.0, width / (num_classes - 1))))


def etf_distance_ceiling(num_classes: int, *, centred: bool = False) -> float:
    """Largest `etf_distance`: sqrt(2) raw, sqrt(2 - 2/sqrt(K-1)) centred (0 at K = 2)."""
    return math.sqrt(2 - 2 / math.sqrt(num_classes - 1)) if centred else math.sqrt(2)


def delta_lcd_floor(num_classes: int, width: int, *, power: int = 2) -> float:
    """Least `delta_lcd` (cosine) at power 2: 0 where D >= K - 1, else
    K (K-1-D) / (D (K-1)^2), attained by zero-sum unit tight frames.

    At power 1 no closed form is known; 0 is returned where it is reached, else NaN.
    """
    short = num_classes - 1 - width
    if short <= 0:
        return 0.0
    return math.nan if power != 2 else num_classes * short / (width * (num_classes - 1) ** 2)


def delta_lcd_ceiling(num_classes: int, *, power: int = 1) -> float:
    """Largest `delta_lcd` (cosine): (K/(K-1))^power, where all rows are equal."""
    return (num_classes / (num_classes - 1)) ** power


def welch_bound(num_classes: int, width: int) -> float:
    """Least root-mean-square cosine of K unit vectors in D dimensions (Welch); 0 for K <= D."""
    return math.sqrt(max(0.0, num_classes - width) / (width * (num_classes - 1)))


def rankin_bound(num_classes: int, width: int) -> float:
    """Least possible largest cosine: -1/(K-1) for K <= D + 1, else 0 (Rankin; attained up to 2D).

    For K > 2D, 0 is still a lower bound but no longer attained.
    """
    return -1 / (num_classes - 1) if num_classes <= width + 1 else 0.0
