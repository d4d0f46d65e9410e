"""Weights of another kind, size or name than the model's are refused in a line that names them."""

import json
import resource
import warnings

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ncscope.clip.backbone import load_backbone
from ncscope.clip.fitting import check_weights, fitting
from ncscope.errors import BackboneError
from tests.peak import held
from tests.tiny_clip import VIT, save_folder, tiny_state

NORM = "ln_final.weight"


def openais(value: torch.Tensor) -> dict[str, torch.Tensor]:
    """A state dict that says whose it is, with `value` for one of its weights."""
    return {**tiny_state(), "input_resolution": torch.tensor(32), NORM: value}


def kinds() -> dict[str, tuple[torch.Tensor, str]]:
    """Tensors that a state dict can hold instead of 64 floating numbers, and what is said."""
    ones = torch.ones(64)
    with warnings.catch_warnings():  # torch's own, of the making of such tensors
        warnings.simplefilter("ignore")
        nested = torch.nested.nested_tensor([ones, ones])
        csr = torch.ones(8, 8).to_sparse_csr()
        quantised = torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8)
    return {
        "sparse": (ones.to_sparse(), r"a sparse tensor.*tensor.to_dense\(\)"),
        "csr": (csr, r"a sparse tensor.*tensor.to_dense\(\)"),
        "quantised": (
            quantised,
            r"a quantised tensor.*tensor.dequantize\(\)",
        ),
        "nested": (nested, "a nested tensor"),
        "meta": (torch.ones(64, device="meta"), "without values, of the device `meta`"),
        "complex": (ones.to(torch.complex64), "is complex64; expected float16, bfloat16"),
        "bool": (ones.bool(), "is bool; expected float16, bfloat16"),
        "integer": (ones.long(), "is int64; expected float16, bfloat16"),
        "float8": (ones.to(torch.float8_e4m3fn), "float8_e4m3fn"),
        "nan": (ones / 0 * 0, "NaN or infinity in 64 of 64 places: the weights are damaged"),
        "infinity": (ones / 0, "NaN or infinity in 64 of 64 places"),
    }


@pytest.mark.filterwarnings("ignore")  # torch's own, of the making of such tensors
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", kinds())
def test_no_plain_tensor_is_refused_by_its_name_and_kind(tmp_path, kind, zipped):
    value, words = kinds()[kind]
    path = tmp_path / "clip.pt"
    try:
        torch.save(openais(value), path, _use_new_zipfile_serialization=zipped)
    except (RuntimeError, NotImplementedError, AttributeError):
        pytest.skip("torch does not write it so")
    with pytest.raises(BackboneError, match=words) as error:
        load_backbone(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert kind == "float8" or NORM in str(error.value)


@pytest.mark.parametrize("kind", ["complex", "bool", "integer", "float8", "nan"])
def test_so_it_is_in_safetensors(tmp_path, kind):
    value, words = kinds()[kind]
    save_file(openais(value), tmp_path / "clip.safetensors")
    with pytest.raises(BackboneError, match=f"`{NORM}`.*{words}"):
        load_backbone(tmp_path / "clip.safetensors")


def test_every_kind_of_floating_weight_is_taken():
    wanted = {"x": torch.zeros(2), "count": torch.tensor(3)}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        check_weights(wanted, {"x": torch.ones(2, dtype=dtype)}, where="w")
    check_weights(wanted, {"x": torch.ones(2), "count": torch.tensor(1)}, where="w")
    with pytest.raises(BackboneError, match="w: `count` is float32; expected whole numbers"):
        check_weights(wanted, {"count": torch.tensor(1.0)}, where="w")


def test_a_single_number_may_be_one_or_a_list_of_one_and_nothing_else():
    wanted = {"scale": torch.tensor(1.0)}
    assert fitting(wanted, {"scale": torch.ones(1)}, where="w")["scale"].shape == ()
    with pytest.raises(BackboneError, match=r"have another shape \(`scale`: \(2,\) for \(\)"):
        fitting(wanted, {"scale": torch.ones(2)}, where="w")


def test_a_parameter_around_another_kind_of_tensor_is_not_taken_for_a_plain_one(tmp_path):
    meta = torch.nn.Parameter(torch.ones(64, device="meta"))
    torch.save({**tiny_state(), NORM: meta}, tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match="without values"):
        load_backbone(tmp_path / "clip.pt")


def test_two_weights_of_one_name_are_refused(tmp_path):
    torch.save({"module.x": torch.ones(1), "x": torch.ones(1)}, tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match=r"two weights have one name once"):
        load_backbone(tmp_path / "clip.pt")


LARGE = {
    "embed_dim": 8192,
    "vision_cfg": {"layers": 8, "width": 8192, "patch_size": 16, "image_size": 512},
    "text_cfg": {"width": 8192, "heads": 128, "layers": 8, "vocab_size": 49408},
}


@pytest.mark.parametrize(
    ("pretrained", "words"),
    [
        (None, "does not fit the architecture: .* weights are missing"),
        ("random", r"asks for \d+ GiB of untrained weights; at most 16 GiB are made"),
    ],
)
def test_a_configuration_larger_than_its_weights_takes_no_memory(tmp_path, pretrained, words):
    folder = save_folder(tmp_path / "clip")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": LARGE}))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held() + 2**30, before[1]))
    try:
        with pytest.raises(BackboneError, match=words):
            load_backbone(folder, pretrained=pretrained)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_the_check_before_building_leaves_the_random_weights_as_they_are(monkeypatch):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny-16", dict(VIT))
    torch.manual_seed(7)
    model = open_clip.CLIP(**VIT)
    found = load_backbone("Tiny-16", pretrained="random", random_seed=7).model
    for name, value in model.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
