"""`.npz` archives: what numpy reads, and nothing damaged, unfolded or run on the way."""

import io
import resource
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ncscope.errors import DataError
from ncscope.features.bundle import read_features
from ncscope.features.npz import MOST_BESIDE, MOST_TIMES, read_npz
from tests.checkpoint.fuzz import damaged
from tests.peak import held


def read(content: bytes, *names: str):
    return read_npz(io.BytesIO(content), len(content), names)


def packed(entries: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def entry(
    shape: object, *, descr: object = "<f4", fortran: bool = False, body: bytes = b""
) -> bytes:
    said = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + body


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.one_of(
            arrays.integer_dtypes(),
            arrays.unsigned_integer_dtypes(),
            arrays.floating_dtypes(),
            arrays.unicode_string_dtypes(max_len=5),
            st.just(np.dtype(bool)),
        ),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0),
    ),
    st.booleans(),
    st.booleans(),
)
def test_an_array_comes_back_as_numpy_reads_it(array, fortran, compressed):
    stream = io.BytesIO()
    given_ = np.asfortranarray(array) if fortran else array
    (np.savez_compressed if compressed else np.savez)(stream, x=given_, other=np.ones(3))
    found, others = read(stream.getvalue(), "x", "y")
    stream.seek(0)
    wanted = np.load(stream)["x"]
    assert found["x"].dtype == wanted.dtype
    assert found["x"].tobytes() == wanted.tobytes()
    assert (found["x"].shape, found.keys(), others) == (wanted.shape, {"x"}, ["other"])


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(stream, np.arange(6).reshape(2, 3), version=version)
    found, _ = read(packed({"x.npy": stream.getvalue()}), "x")
    assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("compressed", [True, False], ids=["packed", "stored"])
def test_an_archive_changed_anywhere_is_refused_or_read_right(compressed):
    stream = io.BytesIO()
    image = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    (np.savez_compressed if compressed else np.savez)(stream, image=image, more=np.arange(50))
    refused = 0
    for content in damaged(stream.getvalue(), cases=400, seed=3):
        try:
            found, _ = read(content, "image")
        except DataError:
            refused += 1
        else:
            assert not found or np.array_equal(found["image"], image)
    assert refused > 200


def test_half_the_rows_of_a_damaged_archive_are_not_taken_for_all():
    whole = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    stream = io.BytesIO()
    np.savez(stream, image=whole)
    content = stream.getvalue().replace(b"(1000, 4)", b"(500, 4) ")
    stream = io.BytesIO(content)
    assert np.load(stream)["image"].shape == (500, 4)  # numpy stops before the checksum
    with pytest.raises(DataError, match=r"`image` is float32 \(500, 4\), 8,000 bytes, and has 16,"):
        read(content, "image")


def test_damage_in_an_array_that_is_passed_over_is_seen(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, text=np.eye(3), others=np.full(1000, 7.0))
    content = bytearray(stream.getvalue())
    content[content.rindex(np.float64(7.0).tobytes())] ^= 1
    path = tmp_path / "f.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"f.npz: is damaged .*Bad CRC-32 for file 'others.npy'"):
        read_features(path)


def bomb(kind: str) -> tuple[bytes, str]:
    """A small archive of what unfolds to much, and what is said of it."""
    zeros = bytes(2**24)
    if kind == "packed":
        body = entry((2**28 // 4 * 4,), body=b"")
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        parts = [packer.compress(body)] + [packer.compress(zeros) for _ in range(16)]
        data = b"".join([*parts, packer.flush()])
        checksum = zlib.crc32(body)
        for _ in range(16):
            checksum = zlib.crc32(zeros, checksum)
        return _archive(data, checksum, len(body) + 2**28), "unfold to 268,435,"
    if kind == "shape":
        return packed({"image.npy": entry((10**9, 1000))}), r"is float32 \(1000000000, 1000\), 4,0"
    if kind == "no side":
        return packed({"image.npy": entry((0, 2**62))}), "impossible shape"
    return packed({"image.npy": entry((2**40,), body=bytes(64))}), "and has 64"


def _archive(data: bytes, checksum: int, size: int) -> bytes:
    """A zip archive of one entry from its packed bytes."""
    common = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, checksum, len(data), size)
    name = b"image.npy"
    lengths = struct.pack("<HH", len(name), 0)
    local = b"PK\x03\x04" + common + lengths + name
    central = b"PK\x01\x02\x14\x00" + common + lengths + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    return local + data + central + b"PK\x05\x06" + end


@pytest.mark.parametrize("kind", ["packed", "shape", "no side", "short"])
def test_an_archive_that_unfolds_to_much_takes_no_memory(tmp_path, kind):
    content, words = bomb(kind)
    path = tmp_path / "f.npz"
    path.write_bytes(content)
    assert len(content) < 2_000_000
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held() + 200 * 2**20, before[1]))
    try:
        with pytest.raises(DataError, match=words):
            read_features(path)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_the_limit_is_the_one_that_is_stated():
    zeros = np.zeros(MOST_BESIDE - 1000, dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, x=zeros)
    assert len(read(stream.getvalue(), "x")[0]["x"]) == len(zeros)
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.zeros(2 * MOST_BESIDE, dtype=np.uint8))
    with pytest.raises(DataError, match=f"more than {MOST_TIMES} times the file's .*numpy.savez"):
        read(stream.getvalue(), "x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"x.npy": entry((1,), descr="|O", body=b"x" * 8)}), "holds pickled objects"),
        (packed({"x.npy": entry((1,), descr=[("a", "<f4")])}), "no array of plain numbers"),
        (packed({"x.npy": entry((1,), descr="<f4,O")}), "no array of plain numbers"),
        (packed({"x.npy": entry((-1,))}), "`x` has no shape"),
        (packed({"x.npy": entry((1.5,))}), "`x` has no shape"),
        (packed({"x.npy": entry(3)}), "`x` has no shape"),
        (packed({"x.npy": entry((1,) * 40, body=bytes(4))}), "impossible shape"),
        (packed({"x.npy": b"text"}), "`x` holds no array"),
        (packed({"x.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff"}), "has a header of 4294967295"),
        (packed({"x.npy": b"\x93NUMPY\x01\x00\x10\x00__import__('os')"}), "is damaged"),
        (
            packed({"x.npy": entry((2,), body=bytes(8))}, method=zipfile.ZIP_BZIP2),
            "packed in a way",
        ),
        (packed({"x.npy": entry((1,), body=bytes(4)), "x": b""}), "two entries of one name"),
        (entry((1,), body=bytes(4)), "one bare array"),
        (b"\x80\x04N.", "holds pickled objects"),
        (b"", "is damaged or cut short"),
        (b"PK\x03\x04", "is damaged or cut short"),
    ],
)
def test_what_is_no_archive_of_plain_arrays_is_refused(content, words):
    with pytest.raises(DataError, match=words) as error:
        read(content, "x")
    assert str(error.value).isprintable()


def test_a_truth_value_is_what_is_not_zero():
    found, _ = read(packed({"x.npy": entry((3,), descr="|b1", body=b"\x00\x01\x07")}), "x")
    assert found["x"].tolist() == [False, True, True]
