import numpy as np
import pytest

from ncscope.errors import DataError
from ncscope.toy.world import (
    FACTORS,
    JITTER,
    SHAPES,
    SPACES,
    draw_scenes,
    stream,
    unseen_colour,
    unseen_texture,
)


def scenes(count=4000, **settings):
    return draw_scenes(stream("tuning", "world"), count, **settings)


def test_the_first_scenes_are_the_same_however_many_are_drawn():
    few, many = scenes(5), scenes(50)
    assert np.array_equal(few.jitter, many.jitter[:5])
    for name in FACTORS:
        assert np.array_equal(few.factors[name], many.factors[name][:5])


def test_every_value_of_every_factor_is_drawn():
    drawn = scenes().factors
    for name, values in FACTORS.items():
        assert set(drawn[name].tolist()) == set(range(len(values)))


def test_fixed_factors_keep_their_value_and_free_ones_do_not():
    drawn = scenes(200, fixed={"shape": 3, "colour": 5}).factors
    assert set(drawn["shape"]) == {3}
    assert set(drawn["colour"]) == {5}
    assert len(set(drawn["background"])) == len(FACTORS["background"])


def test_several_objects_are_centred_and_small_and_a_large_one_is_in_the_centre():
    drawn = scenes().factors
    several, large = drawn["count"] > 0, drawn["size"] == 2
    assert not drawn["place"][several | large].any()
    assert not drawn["size"][several].any()
    assert several.mean() == pytest.approx(0.35, abs=0.03)


def test_a_fixed_place_means_one_object_that_is_not_large():
    drawn = scenes(200, fixed={"place": 2}).factors
    assert set(drawn["place"]) == {2}
    assert set(drawn["count"]) == {0}
    assert set(drawn["size"]) == {0, 1}


def test_pretraining_never_sees_the_pairs_that_are_left_out():
    drawn = scenes(seen_only=True).factors
    assert not unseen_colour(drawn["colour"], drawn["shape"]).any()
    assert not unseen_texture(drawn["texture"], drawn["shape"]).any()


def test_about_one_pair_in_seven_and_in_nine_is_left_out():
    colour, shape = np.meshgrid(np.arange(len(FACTORS["colour"])), np.arange(len(SHAPES)))
    assert unseen_colour(colour, shape).mean() == pytest.approx(1 / 7, abs=0.01)
    texture, shape = np.meshgrid(np.arange(1, len(FACTORS["texture"])), np.arange(len(SHAPES)))
    assert unseen_texture(texture, shape).mean() == pytest.approx(1 / 9, abs=0.01)


def test_jitter_is_below_one_so_that_it_can_index():
    class Ones:
        def random(self, shape):
            return np.full(shape, 1 - 2.0**-53)

    drawn = draw_scenes(Ones(), 3)  # type: ignore[arg-type]
    assert drawn.jitter.max() < 1
    for name, values in FACTORS.items():
        assert drawn.factors[name].max() < len(values)


def test_take_selects_scenes_with_all_their_columns():
    drawn = scenes(10)
    some = drawn.take(np.array([7, 2]))
    assert len(some) == 2
    assert some.factors["shape"].tolist() == drawn.factors["shape"][[7, 2]].tolist()
    assert some.chance(JITTER[-1])[1] == drawn.jitter[2, -1]


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
