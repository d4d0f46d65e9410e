import pytest
from PIL import Image

from ncscope.data.images import open_images
from ncscope.data.tables import read_class_counts, read_train_counts
from ncscope.errors import DataError


@pytest.fixture
def table(tmp_path):
    for name in ["a.png", "b.png", "c.png", "deep/d.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)

    def write(text, *, encoding="utf-8"):
        (tmp_path / "t.csv").write_text(text, encoding=encoding)
        return tmp_path / "t.csv"

    return write


def test_class_names_are_labelled_in_natural_order(table):
    images = open_images(table("path,classname\na.png,dog\nb.png,cat\ndeep/d.png,cat\nc.png,\n"))
    assert images.classnames == ("cat", "dog")
    assert dict(zip(images.items, images.labels, strict=True)) == {
        "a.png": 1, "b.png": 0, "c.png": -1, "deep/d.png": 0,
    }  # fmt: skip


def test_labels_alone_are_numbered_or_take_the_names_given(table):
    path = table("path,label\na.png,0\nb.png,1\nc.png,-1\n")
    images = open_images(path)
    assert images.classnames == ("class 0", "class 1")
    assert images.labels == (0, 1, -1)
    [numbered] = images.warnings
    assert "no column `classname`: its classes are called `class 0`, …" in numbered


def test_labels_with_gaps_need_names(table):
    path = table("path,label\na.png,0\nb.png,2\nc.png,-1\n")
    with pytest.raises(
        DataError, match=r"t\.csv: no row of label 1, and nothing names the classes"
    ):
        open_images(path)
    named = open_images(path, classnames=["x", "y", "z"])
    assert named.classnames == ("x", "y", "z")
    assert named.warnings == ("1 class(es) without images: y",)
    with pytest.raises(DataError, match=r"label 2, but 2 class names were given"):
        open_images(path, classnames=["x", "y"])


def test_labels_decide_where_two_have_one_name(table):
    images = open_images(table("path,label,classname\na.png,0,crane\nb.png,1,crane\n"))
    assert images.classnames == ("crane", "crane")
    assert images.labels == (0, 1)


def test_labels_counted_from_1_are_said_to_be_where_names_are_given(table):
    path = table("path,label\na.png,1\nb.png,2\n")
    with pytest.raises(
        DataError, match=r"label 2, but 2 class names .* counted from 1: subtract 1"
    ):
        open_images(path, classnames=["x", "y"])


def test_whole_labels_may_be_written_as_floating_numbers(table):
    assert open_images(table("path,label\na.png,0.0\nb.png,1.0\n")).labels == (0, 1)


def test_labels_with_names_give_order_and_names(table):
    images = open_images(table("path,label,classname\na.png,1,cat\nb.png,0,dog\n"))
    assert images.classnames == ("dog", "cat")


def test_parts_share_their_labels(table):
    path = table("path,classname,split\na.png,dog,train\nb.png,cat,Test\nc.png,eel,validation\n")
    images = open_images(path)
    assert (images.items, images.part) == (("b.png",), "test")
    assert images.classnames == ("cat", "dog", "eel")
    assert open_images(path, part="val").items == ("c.png",)
    with pytest.raises(DataError, match=r"no part `other`; it has test, train, val"):
        open_images(path, part="other")


def test_parts_are_known_by_their_other_names(table):
    path = table("path,classname,split\na.png,x,Training\nb.png,y,evaluation\nc.png,x,dev\n")
    assert open_images(path).items == ("b.png",)
    assert open_images(path, part="train").items == ("a.png",)
    assert open_images(path, part="val").items == ("c.png",)
    twice = table("path,classname,split\na.png,x,eval\nb.png,y,test\n")
    with pytest.raises(DataError, match="'eval' and 'test' both stand for the part test; keep one"):
        open_images(twice)


def test_a_split_that_names_no_part_is_refused_and_not_read_whole(table):
    path = table("path,classname,split\na.png,x,fold1\nb.png,y,fold2\nc.png,y,\n")
    with pytest.raises(DataError, match=r"`split` has 'fold1', 'fold2'; expected train, val or te"):
        open_images(path)
    with pytest.raises(DataError, match=r"no part `train`; it has fold1, fold2"):
        open_images(path, part="train")
    assert len(open_images(table("path,classname,split\na.png,x,\nb.png,y,\n"))) == 2


def test_rows_that_are_in_no_part_are_a_warning(table):
    path = table("path,classname,split\na.png,x,test\nb.png,x,\nc.png,x,extra\n")
    images = open_images(path)
    assert images.items == ("a.png",)
    assert images.warnings == (
        "left out 1 row(s) of t.csv with an empty `split`",
        "rows of t.csv in no part were not read: `split` is extra",
    )


def test_a_spreadsheets_csv_is_read(table):
    text = 'Path, ClassName\r\n"a.png","cat, small"\r\nb.png,dög\r\n'
    images = open_images(table(text, encoding="utf-8-sig"))
    assert images.classnames == ("cat, small", "dög")


def test_absolute_paths_are_taken_as_they_are(table, tmp_path):
    path = table(f"path,label\n{tmp_path / 'a.png'},0\n")
    assert open_images(path).load(0).size == (4, 4)


@pytest.mark.parametrize("escape", ["../a.png", "deep/../../a.png", "..\\a.png"])
def test_a_path_that_leaves_the_folder_is_refused(table, escape):
    with pytest.raises(DataError, match=r"row 3: path .* leaves the table's folder"):
        open_images(table(f"path,label\na.png,0\n{escape},0\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column `path`; it has no columns"),
        ("path,label\n", "a header and no rows"),
        ("file,label\na.png,0\n", "no column `path`; it has 'file', 'label'"),
        ("path;label\na.png;0\n", r"it has 'path;label' \(columns are separated by commas\)"),
        ("path,name\na.png,0\n", "no column `label` or `classname`; it has 'path', 'name'"),
        ("path,label,label\na.png,0,0\n", "a column name occurs twice"),
        ("path,label\na.png,cat\n", "row 2: label 'cat' is not an integer"),
        ("path,label\na.png,0\nb.png,1.5\n", r"row 3: label '1\.5' is not an integer"),
        ("path,label\na.png,0\nb.png,nan\n", r"row 3: label 'nan' is not an integer"),
        ("path,label\na.png,0\nb.png,1e999\n", r"row 3: label '1e999' is not an integer"),
        (
            "path,label\na.png,1\nb.png,2\n",
            "no image of label 0; the labels are 1..2, which .*from 1",
        ),
        ("path,label,classname\na.png,1,x\nb.png,2,y\n", "labels are 1..2, .* from 0: subtract 1"),
        (
            "path,label,classname\na.png,0,x\nb.png,2,y\n",
            "no row of label 1; expected labels 0..1 of 2 classes, each with a row; drop",
        ),
        ("path,label\na.png,-2\n", "row 2: label -2; expected 0"),
        ("path,label\na.png,99999999999\n", "row 2: label 99999999999; expected 0"),
        ("path,label\na.png\n", "row 2 does not have 2 columns"),
        ("path,label\na.png,0,1\n", "row 2 does not have 2 columns"),
        (
            "path,label,classname\na.png,0,x\nb.png,0,y\n",
            "label 0 is called 'y' here and 'x' before",
        ),
        ("path,label\nnone.png,0\n", "none of the 1 files is a readable image|1 of 1 files"),
        ("path,label\n\n\na.png,0\nb.png,x\n", "row 5: label 'x'"),
        ("path,label\n ,0\n", "row 2: the path is blank"),
        ("path,label\na.png,-1\nb.png,-1\n", "no row names its class"),
        ("path,classname\na.png,\n", "no row names its class"),
        ("path,label,classname\na.png,-1,cat\n", "no row names its class"),
        ("path,label,classname\na.png,0,\nb.png,1,cat\n", "row 2: label 0 without a class name"),
        (f"path,label\na.png,{'1' * 5000}\n", "row 2: label '1{40}' is not an integer"),
        ('path,label\n"a.png,0\n', "cannot be read as a UTF-8 .csv table"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(table, text, message):
    with pytest.raises(DataError, match=message):
        open_images(table(text))


def test_a_table_in_another_encoding_is_refused(table):
    with pytest.raises(DataError, match=r"cannot be read as a UTF-8 \.csv table"):
        open_images(table("path,classname\na.png,dög\n", encoding="latin-1"))


def test_counts_are_read_from_a_table(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text('Count,classname\n16,tench\n 2 ,"hen, brood"\n', encoding="utf-8-sig")
    assert read_class_counts(path) == {"tench": 16, "hen, brood": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected columns `classname` and `count` and rows; got nothing"),
        ("name,count\na,1\n", "got 'name', 'count'"),
        ("classname,count\n", "and rows"),
        ("classname,count\na,1\na,2\n", "row 3: class name 'a' is empty or occurs twice"),
        ("classname,count\na,0\n", "row 2: count '0'; expected a whole number from 1"),
        ("classname,count\na,²\n", "row 2: count '²'"),
        ("classname,count\na\n", "row 2: count ''"),
        ("classname,count\n\na,0\n", "row 3: count '0'"),
        (f"classname,count\na,{'9' * 5000}\n", "row 2: count '9{40}'; expected a whole number"),
    ],
)
def test_a_table_of_counts_that_says_nothing_clear_is_refused(tmp_path, text, message):
    (tmp_path / "counts.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_class_counts(tmp_path / "counts.csv")


def test_missing_counts_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_class_counts(tmp_path / "none.csv")


def test_training_counts_are_lines_or_the_table_that_tune_takes(tmp_path):
    path = tmp_path / "counts"
    for text, expected in {
        "classname,count\ntench,16\n": {"tench": 16},
        "16\n2\n": [16, 2],
        "5.000e+02\n3.0\n\n": [500, 3],
    }.items():
        path.write_text(text)
        assert read_train_counts(path) == expected
    for text in ("16\n2.5\n", "16\nnan\n", "16\n-2\n", "16\n1e400\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="line 2: expected a whole number of training images"):
            read_train_counts(path)
    with pytest.raises(DataError, match="cannot be read as text"):
        read_train_counts(tmp_path / "none")


def test_a_name_that_commands_a_terminal_is_no_class(table):
    for name in ("ca\x00t", "\x1b[31mcat", "c\u202eat"):
        with pytest.raises(DataError, match=r"t\.csv: row 2: class name .* control characters"):
            open_images(table(f"path,classname\na.png,{name}\nb.png,dog\n"))


def test_an_image_that_is_listed_twice_is_said(table):
    rows = "a.png,cat\nb.png,dog\na.png,{}\n"
    [said] = open_images(table("path,classname\n" + rows.format("cat"))).warnings
    assert said == "1 of 3 rows list an image again"
    [said] = open_images(table("path,classname\n" + rows.format("dog"))).warnings
    assert said == "1 image(s) are listed in several classes: a.png"
