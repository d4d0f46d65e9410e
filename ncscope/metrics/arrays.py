"""Lists and NumPy arrays where a measure takes tensors: made tensors first, as scikit-learn does.

Whole numbers become floating ones, except where whole numbers are meant: labels and the like.
Tensors pass untouched, with their device and gradient; results are tensors.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from ncscope.errors import ShapeError

_Measure = TypeVar("_Measure", bound=Callable[..., Any])
# Measures whose two sides were the other way round, and which tell the sides apart
_TURNED = ("cosine_table", "cross_etf_distance", "unc3")
_WHOLE = {"label", "labels", "clusters", "index", "draws", "counts", "hits", "bins"}


def takes_arrays(measure: _Measure) -> _Measure:
    """The measure, whose arguments that are tensors may be lists or arrays, too."""
    signature = inspect.signature(measure)
    named = {
        name: (Tensor, *_kinds(parameter.annotation))
        for name, parameter in signature.parameters.items()
        if parameter.annotation is Tensor or Tensor in get_args(parameter.annotation)
    }
    if not named:
        return measure
    order = tuple(signature.parameters)

    @functools.wraps(measure)
    def taking(*given: Any, **more: Any) -> Any:
        if len(given) > 1 and measure.__name__ in _TURNED:
            given = _as_before(measure.__name__, *given)
        pairs = zip(order, given, strict=False)
        made = [as_tensor(k, v, named[k]) if k in named else v for k, v in pairs]
        given = (*made, *given[len(made) :])
        more = {k: as_tensor(k, v, named[k]) if k in named else v for k, v in more.items()}
        return measure(*given, **more)

    return taking  # pyright: ignore[reportReturnType]


def _kinds(annotation: Any) -> tuple[type, ...]:
    """The plain types that an annotation names, its own where it is no choice of several."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return tuple(get_origin(kind) or kind for kind in get_args(annotation))
    return () if origin is None else (origin,)


def _as_before(name: str, text: Any, image_means: Any, *rest: Any) -> tuple[Any, ...]:
    """Positional sides in the order that was, with a word: no call changes its number unsaid."""
    warnings.warn(
        f"metrics.{name}: two sides by position are taken as (text, image_means); every measure "
        f"takes images first, and this one will from 0.3 on: name them, {name}(image_means=..., "
        f"text=...)",
        DeprecationWarning,
        stacklevel=3,
    )
    return image_means, text, *rest


def as_tensor(name: str, value: Any, kinds: tuple[type, ...] = (Tensor,)) -> Any:
    """A list or an array as a tensor; what is of one of these kinds, as it is.

    Raises:
        ShapeError: neither; or no numbers, or of no one shape.
    """
    if not isinstance(value, np.ndarray | list | tuple):
        plain = float in kinds and isinstance(value, int)
        if plain or (isinstance(value, kinds) and not isinstance(value, str)):
            return value
        raise ShapeError(
            f"`{name}` must be a tensor, array or list of numbers; got {type(value).__name__}"
        )
    if isinstance(value, list | tuple) and value and all(isinstance(v, Tensor) for v in value):
        return torch.stack(list(value))
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"got {array.dtype}")
        if array.dtype.kind in "biu":
            array = array.astype(np.int64 if name in _WHOLE else np.float64)
        elif array.dtype.itemsize > 8 or not array.dtype.isnative:
            array = array.astype(np.float64)
        return torch.from_numpy(np.array(array))  # a copy: nobody writes into the caller's
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ShapeError(
            f"`{name}` must be a tensor, or an array or list of numbers of one shape ({error})"
        ) from None
