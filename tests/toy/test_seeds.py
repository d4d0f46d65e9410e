import numpy as np
import pytest

from ncscope.errors import DataError
from ncscope.toy.world import SPACES, stream


def test_a_stream_is_the_same_on_every_machine():
    assert stream("reporting", "shapes", 0).integers(0, 1000, 4).tolist() == [816, 603, 983, 875]


def test_streams_of_different_names_differ_even_for_anagrams():
    names = [("test", 0), ("test", 1), ("sett", 0), ("test0",)]
    draws = {stream(space, *name).random() for space in SPACES for name in names}
    assert len(draws) == len(SPACES) * len(names)


def test_a_path_of_two_parts_is_not_one_part_with_their_names_joined():
    assert stream("world", "a", "b").random() != stream("world", "ab").random()


def test_an_unknown_space_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match=r"`validation`; expected one of pretraining, difficulty"):
        stream("validation", "shapes")


def test_the_generator_is_pcg64():
    assert isinstance(stream("world").bit_generator, np.random.PCG64)
