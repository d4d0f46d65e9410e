import os
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.checkpoint.reading import read_checkpoint
from ncscope.errors import CheckpointError
from tests.checkpoint.fuzz import Global, Persistent, dumps, opcodes, rewritten
from tests.dassl_files import save_dassl, save_lift, save_lora
from tests.learner_states import STATES, Sizes, clip_lora, coop, lift, plotpp

DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.uint16,
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth.tar-50"


def small(dtype, *shape):
    values = torch.arange(1, 1 + max(int(np.prod(shape)), 1)) % 100
    return values[: int(np.prod(shape))].to(dtype).reshape(shape)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", STATES)
def test_dassl_files_of_every_learner_give_their_tensors_back(path, name, zipped):
    state = STATES[name](Sizes(layers=1, depth=1), 0)
    save_dassl(path, state, zipped=zipped)
    checkpoint = read_checkpoint(path)
    expected = {key.replace(".module.", "."): value for key, value in state.items()}
    assert checkpoint.tensors.keys() == expected.keys()
    for key, value in expected.items():
        assert_close(checkpoint.tensors[key], value, rtol=0, atol=0)
    assert checkpoint.extras["epoch"] == 50
    assert any("torch.optim.sgd.SGD" in note for note in checkpoint.notes)
    assert any("`optimizer`, `scheduler`" in note for note in checkpoint.notes)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype_and_pickle_protocol_is_read(path, protocol, zipped):
    state = {str(dtype): small(dtype, 3, 5) for dtype in DTYPES}
    state |= {"scalar": torch.tensor(4.6052), "empty": torch.zeros(0, 7), "list": [1, 2]}
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert checkpoint.extras == {"list": (1, 2)}
    for key, value in checkpoint.tensors.items():
        assert_close(value, state[key], rtol=0, atol=0)
    assert len(checkpoint.tensors) == len(state) - 1


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_views_and_shared_storages_keep_their_elements(path, zipped):
    whole = torch.arange(60.0).reshape(3, 4, 5)
    state = {
        "token_prefix": whole[:, :1],
        "token_suffix": whole[:, 2:],
        "turned": whole[0].T,
        "whole": whole,
        "parameter": torch.nn.Parameter(whole[1]),
    }
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    tensors = read_checkpoint(path).tensors
    for key, value in state.items():
        assert_close(tensors[key], value.detach(), rtol=0, atol=0)
        assert not tensors[key].requires_grad
    assert tensors["whole"].data_ptr() == tensors["token_prefix"].data_ptr()


def test_module_is_dropped_anywhere_in_a_key(path):
    save_dassl(path, {"module.ctx": torch.ones(2, 4), "a.module.b": torch.zeros(1)}, module=True)
    assert set(read_checkpoint(path).tensors) == {"ctx", "a.b"}
    save_dassl(path, plotpp(Sizes(layers=1)))
    assert not any("module" in key for key in read_checkpoint(path).tensors)


def test_two_keys_that_differ_by_module_are_refused(path):
    torch.save({"state_dict": {"ctx": torch.ones(1), "module.ctx": torch.ones(1)}}, path)
    with pytest.raises(CheckpointError, match="two tensors named `ctx`"):
        read_checkpoint(path)


def test_views_into_storages_of_the_old_format_are_read(path):
    """Old files may refer to a stretch of a storage: (name, first element, length)."""
    values = torch.arange(16.0)
    view = Persistent("storage", Global("torch", "FloatStorage"), "0", "cpu", 16, ("v", 4, 8))
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    value = opcodes(
        b"}(X\x03\x00\x00\x00ctx", rebuild, (view, 1, (2, 3), (3, 1), False, None), b"Ru"
    )
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + dumps(1001) + dumps({}) + value
    path.write_bytes(head + dumps(["0"]) + struct.pack("<q", 16) + values.numpy().tobytes())
    expected = values[5:11].reshape(2, 3)
    assert_close(read_checkpoint(path).tensors["ctx"], expected, rtol=0, atol=0)
    path.write_bytes(path.read_bytes().replace(b"K\x04K\x08", b"K\x04K\x0d"))
    with pytest.raises(CheckpointError, match="a view that reaches outside its storage"):
        read_checkpoint(path)


def test_big_endian_files_are_turned_round(path):
    state = {"ctx": small(torch.float32, 2, 3), "half": small(torch.float16, 4)}
    state["complex"] = torch.tensor([1 + 2j, 3 - 4j])
    torch.save(state, path)
    swapped = {}
    with zipfile.ZipFile(path) as archive:
        for i, size in enumerate((4, 2, 4)):
            name = f"data/{i}"
            (entry,) = [e for e in archive.namelist() if e.endswith(f"/{name}")]
            raw = np.frombuffer(archive.read(entry), dtype=f"u{size}")
            swapped[name] = raw.byteswap().tobytes()
    rewritten(path, {**swapped, "byteorder": b"big"})
    tensors = read_checkpoint(path).tensors
    for key, value in state.items():
        assert_close(tensors[key], value, rtol=0, atol=0)


def test_safetensors_files_and_their_metadata_are_read(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    state = {str(dtype): small(dtype, 2, 3) for dtype in DTYPES[:10]}
    save_file(state, path, metadata={"method": "CoOp"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == "safetensors"
    assert checkpoint.extras == {"method": "CoOp"}
    for key, value in state.items():
        assert_close(checkpoint.tensors[key], value, rtol=0, atol=0)
    path.rename(tmp_path / "without_suffix")
    assert len(read_checkpoint(tmp_path / "without_suffix").tensors) == 10


def test_nested_files_get_dotted_keys_and_plain_values(path):
    expected = clip_lora(Sizes())
    checkpoint = read_checkpoint(save_lora(path, expected, rank=2))
    assert checkpoint.tensors.keys() == expected.keys()
    assert checkpoint.extras["metadata.r"] == 2
    assert checkpoint.extras["metadata.params"] == ("q", "k", "v")
    expected = lift(Sizes())
    assert read_checkpoint(save_lift(path, expected)).tensors.keys() == expected.keys()


def test_a_bare_parameter_is_read_under_the_name_tensor(path):
    torch.save(torch.nn.Parameter(torch.ones(3, 2)), path)
    assert_close(read_checkpoint(path).tensors, {"tensor": torch.ones(3, 2)})


def test_tensors_beside_the_state_dict_are_kept(path):
    save_dassl(path, {"extractor.weight": torch.ones(2, 4)}, memory_item=torch.ones(25, 2))
    assert set(read_checkpoint(path).tensors) == {"extractor.weight", "memory_item"}


def torchscript(path):
    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # torch.jit is deprecated
        torch.jit.save(torch.jit.trace(Twice(), torch.ones(1)), path)


def whole_model(path):
    torch.save(torch.nn.Linear(2, 2), path)


def other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def numpy_archive(path):
    with path.open("wb") as file:
        np.savez(file, text=np.zeros(3))


REFUSED = {
    "empty": (b"", "empty file"),
    "web page": (b"\n<!DOCTYPE html><html><title>Google Drive</title>", "a web page"),
    "web page, other case": (b"<HTML><HEAD>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "numpy": (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
    "gzip": (b"\x1f\x8b\x08\x00\x00", "a gzip archive.*unpack it"),
    "json": (b'{"format": 1}', "JSON text"),
    "text": (b"epoch 3 loss 0.4\n", 'text, not a checkpoint; it begins "epoch 3'),
    "pickle": (
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}",
        "a pickle that torch.save did not",
    ),
    "bytes": (b"\x00\x01\x02\x03\xff\xfe\xfd\xfc\xfb", "neither a torch nor a safetensors file"),
    "old tar": (b"pickle\0".ljust(257, b"\0") + b"ustar\0" + bytes(300), "a tar archive"),
    "zip, cut": (b"PK\x03\x04" + bytes(60), "truncated or damaged zip"),
    "torchscript": (torchscript, "a TorchScript archive.*--backbone"),
    "zip": (other_zip, "a zip archive that torch did not write"),
    "npz": (numpy_archive, "a NumPy archive"),
    "module": (whole_model, r"class torch.nn.modules.linear.Linear instead of.*state_dict\(\)"),
    "list": (lambda path: torch.save([torch.ones(1)], path), "holds no tensors but a list"),
    "no tensors": (lambda path: torch.save({"state_dict": {}}, path), "holds no tensors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_checkpoint_is_refused_in_one_line(path, name):
    content, message = REFUSED[name]
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    with pytest.raises(CheckpointError, match=message) as refusal:
        read_checkpoint(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="a folder; name the checkpoint file"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint("a\0b")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="a device or pipe"):
            read_checkpoint(tmp_path / "pipe")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")
def test_an_unreadable_file_is_refused(path, monkeypatch):
    save_dassl(path, coop(Sizes()), live=False)
    path.chmod(0)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may read anything
    with pytest.raises(CheckpointError, match="permission denied"):
        read_checkpoint(path)


def test_a_damaged_number_in_a_zip_file_is_noticed(path):
    save_dassl(path, {"ctx": torch.full((4, 8), 7.0)}, live=False)
    content = path.read_bytes()
    place = content.index(torch.full((4,), 7.0).numpy().tobytes())
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(CheckpointError, match="'data/0' is damaged"):
        read_checkpoint(path)
