import pytest

from ncscope.data.tables import read_class_counts
from ncscope.errors import DataError


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
