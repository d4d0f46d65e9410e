import pytest

from ncscope.data.classes import match_classes, read_classnames, reorder_classes, select_classes
from ncscope.data.files import FileLoader
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from tests.data.label_sets import image_set


def test_names_match_whatever_their_case_and_underscores():
    assert match_classes(
        ["Sour Cream", "oat_milk"], ["Oat-milk".replace("-", "_"), "sour_cream"]
    ) == (1, 0)
    assert match_classes(["café"], ["CAFE\u0301"]) == (0,)


def test_names_on_one_side_only_are_listed_on_their_side():
    with pytest.raises(
        DataError,
        match=r"1 wanted but not in the data \(dog\); 2 in the data but not wanted \(eel, fox\)",
    ):
        match_classes(["cat", "dog"], ["eel", "cat", "fox"])


def test_the_same_list_matches_place_by_place_also_where_a_name_comes_twice():
    names = ["missile", "tench", "Missile"]
    assert match_classes(names, ["missile", "Tench", "missile"]) == (0, 1, 2)
    with pytest.raises(DataError, match="ambiguous"):
        match_classes(names, ["tench", "missile", "missile"])


def test_names_that_folding_confuses_are_refused():
    with pytest.raises(DataError, match=r"the wanted class names are ambiguous .*: Cat, cat"):
        match_classes(["Cat", "cat"], ["cat"])
    with pytest.raises(DataError, match=r"the found class names are ambiguous .*: a_b, a b"):
        match_classes(["a b"], ["a_b", "a b"])


def test_reordering_follows_the_names_and_keeps_the_images():
    images = reorder_classes(image_set([0, 1, 2, -1], names="abc"), ["C", "A", "B"])
    assert images.labels == (1, 2, 0, -1)
    assert images.classnames == ("C", "A", "B")
    assert images.items == ("0.png", "1.png", "2.png", "3.png")
    assert images.digest != "digest"


def test_the_first_half_rounded_up_is_base():
    images = image_set([0, 1, 2, 3, 4, 2, -1], names="abcde")
    base, new = select_classes(images, "base"), select_classes(images, "new")
    assert (base.classnames, base.labels) == (("a", "b", "c"), (0, 1, 2, 2))
    assert (new.classnames, new.labels) == (("d", "e"), (0, 1))
    assert new.items == ("3.png", "4.png")
    assert [new.load(i) for i in range(2)] == [3, 4]
    assert len({images.digest, base.digest, new.digest}) == 3
    assert select_classes(images) is images


def test_a_half_without_images_or_an_unknown_half_is_refused():
    with pytest.raises(DataError, match="no images of the new classes"):
        select_classes(image_set([0, 1], names="abcde"), "new")
    with pytest.raises(DataError, match="`split` is 'old'; expected base, new or all"):
        select_classes(image_set([0]), "old")


def test_class_names_are_read_one_a_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffcat\r\n sour cream \r\ndög\n\n".encode())
    assert read_classnames(path) == ("cat", "sour cream", "dög")


def test_wordnet_ids_before_all_names_are_no_part_of_them(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("n01440764 tench\nn01443537\tgoldfish, Carassius\n")
    assert read_classnames(path) == ("tench", "goldfish, Carassius")
    path.write_text("n01440764 tench\ngoldfish\n")
    assert read_classnames(path) == ("n01440764 tench", "goldfish")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no class names in it"),
        (b"cat\n\ndog\n", "line 2 is blank"),
        (b"\xff\xfe\x00", "cannot be read as class names"),
    ],
)
def test_a_file_that_is_no_list_of_names_is_refused(tmp_path, content, message):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_classnames(tmp_path / "names.txt")


def test_a_missing_list_of_names_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file of class names"):
        read_classnames(tmp_path / "names.txt")


def test_an_unreadable_image_keeps_its_name_in_a_selection():
    images = ImageSet("x", ("a",), (0,), ("1",), "d", FileLoader(("gone.png",), ("gone",)))
    with pytest.raises(DataError, match="gone: cannot be read"):
        select_classes(images, "base").load(0)
