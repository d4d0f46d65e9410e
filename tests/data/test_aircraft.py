import pytest

from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import known, write_tree


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("variants.txt", None, r"variants\.txt: no such file; it comes with the images"),
        ("variants.txt", "a\na\n", r"variants\.txt: no variants, or one twice"),
        ("images_variant_test.txt", "1 Concorde\n", "line 1: '1 Concorde'; expected the name of"),
        ("images_variant_test.txt", "../1 707-320\n", "line 1: path '../1.jpg' leaves"),
        ("images_variant_test.txt", b"\xff\xfe", "cannot be read as lines of text"),
    ],
)
def test_aircraft_lists_that_say_nothing_clear_are_refused(file, content, message, tmp_path):
    path = write_tree(tmp_path, known("FGVCAircraft")) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        open_known(f"aircraft:{tmp_path}")
