import argparse
import json
import sys

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.clip import backbone as module
from ncscope.clip.backbone import (
    RANDOM_NOTE,
    check_precision,
    choose_device,
    load_backbone,
    products,
)
from ncscope.clip.weights import _sha256
from ncscope.errors import BackboneError
from tests.tiny_clip import (
    RESNET,
    VIT,
    like_openais,
    save_folder,
    save_torchscript,
    tiny_model,
    tiny_state,
)

TEXTS = ["a photo of a cat.", "a photo of a slow loris."]


def published(state):
    """The state with one of the numbers that OpenAI's archives carry beside the weights."""
    return {**state, "input_resolution": torch.tensor(32)}


def pixels(size=32):
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def named(monkeypatch):
    """An architecture under a name, with GELU as open_clip's plain names have it."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny-16", dict(VIT))
    monkeypatch.setitem(
        open_clip.factory._MODEL_CONFIGS, "Tiny-16-quickgelu", {**VIT, "quick_gelu": True}
    )
    return "Tiny-16"


def assert_same_model(backbone, model, *, size=32, atol=1e-6):
    assert_close(
        backbone.encode_image(pixels(size)), model.encode_image(pixels(size)), atol=atol, rtol=1e-5
    )
    tokens = open_clip.SimpleTokenizer()(TEXTS)
    assert_close(backbone.encode_text(TEXTS), model.encode_text(tokens), atol=atol, rtol=1e-5)


@pytest.mark.parametrize(("config", "size"), [(VIT, 32), (RESNET, 64)], ids=["ViT", "ResNet"])
def test_an_openai_state_dict_tells_its_architecture(tmp_path, config, size):
    torch.save(published(tiny_state(config)), tmp_path / "clip.pt")
    backbone = load_backbone(tmp_path / "clip.pt")
    assert_same_model(backbone, tiny_model(config), size=size)
    assert (backbone.width, backbone.context_length, backbone.image_size) == (32, 77, size)
    assert_close(backbone.logit_scale, tiny_model(config).logit_scale.exp())


def test_quick_gelu_is_set_for_an_openai_file_and_matters(tmp_path):
    torch.save(like_openais(tiny_state()), tmp_path / "clip.pt")
    backbone = load_backbone(tmp_path / "clip.pt")
    assert_same_model(backbone, tiny_model(), atol=3e-3)  # half precision weights
    plain = tiny_model(quick_gelu=False).encode_image(pixels())
    assert (backbone.encode_image(pixels()) - plain).abs().max() > 0.03
    assert backbone.description["warnings"] == []


def test_an_openai_file_under_a_plain_name_gets_quick_gelu_with_a_note(tmp_path, named):
    path = tmp_path / "clip.pt"
    torch.save(like_openais(tiny_state()), path)
    backbone = load_backbone(named, pretrained=str(path))
    assert_same_model(backbone, load_backbone(path).model)
    assert "QuickGELU is used although `Tiny-16`" in backbone.description["warnings"][0]
    assert load_backbone("Tiny-16-quickgelu", pretrained=str(path)).description["warnings"] == []


def test_openais_three_numbers_give_it_away_in_single_precision(tmp_path, named):
    state = {
        **tiny_state(),
        "input_resolution": torch.tensor(32),
        "vocab_size": torch.tensor(49408),
    }
    torch.save(state, tmp_path / "clip.pt")
    backbone = load_backbone(named, pretrained=str(tmp_path / "clip.pt"))
    assert_same_model(backbone, tiny_model())


def test_a_file_that_hides_its_activation_is_loaded_as_named_with_a_warning(tmp_path, named):
    torch.save(tiny_state(), tmp_path / "clip.pt")
    backbone = load_backbone(named, pretrained=str(tmp_path / "clip.pt"))
    assert_same_model(backbone, tiny_model(quick_gelu=False))
    assert "name `Tiny-16-quickgelu`" in backbone.description["warnings"][0]


@pytest.mark.usefixtures("named")
def test_a_file_alone_that_hides_its_activation_is_refused_with_both_commands(tmp_path):
    path = tmp_path / "clip.pt"
    torch.save(tiny_state(), path)
    with pytest.raises(BackboneError, match=r"QuickGELU \(OpenAI's weights\) or GELU") as refusal:
        load_backbone(path)
    assert f"--backbone Tiny-16-quickgelu --pretrained {path} if it is OpenAI's" in str(
        refusal.value
    )
    assert f"--backbone Tiny-16 --pretrained {path} if not" in str(refusal.value)
    torch.save({"state_dict": tiny_state()}, path)
    with pytest.raises(BackboneError, match="nothing in it tells whether"):
        load_backbone(path)


def test_a_file_of_no_known_sizes_is_sent_to_a_folder(tmp_path):
    torch.save(tiny_state(), tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match="keep it in an open_clip folder, with `quick_gelu`"):
        load_backbone(tmp_path / "clip.pt")


BESIDE = {
    "nothing": {},
    "a NumPy number": {"best": np.float64(0.5)},
    "a namespace": {"args": argparse.Namespace(lr=0.1)},
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize(("run", "quick"), [("ViT-B-16-lr", False), ("ViT-quickgelu", True)])
def test_a_training_checkpoint_of_open_clips_alone_has_gelu(tmp_path, beside, run, quick):
    state = {f"module.{name}": value for name, value in tiny_state().items()}
    blob = {"epoch": 3, "name": run, "state_dict": state, "optimizer": {}, **BESIDE[beside]}
    torch.save(blob, tmp_path / "epoch_3.pt")
    backbone = load_backbone(tmp_path / "epoch_3.pt")
    assert_same_model(backbone, tiny_model(quick_gelu=quick))
    other = tiny_model(quick_gelu=not quick).encode_image(pixels())
    assert (backbone.encode_image(pixels()) - other).abs().max() > 0.03
    [note] = backbone.description["warnings"]
    assert ("QuickGELU, as its run is called" in note) == quick


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_prompt_learners_file_is_no_backbone_and_that_is_said(tmp_path, wrapped):
    state = {"prompt_learner.ctx": torch.zeros(4, 64), "image_encoder.proj": torch.zeros(2, 2)}
    beside = {"epoch": 5, "optimizer": {"live": argparse.Namespace()}}
    torch.save({"state_dict": state, **beside} if wrapped else state, tmp_path / "model.pth")
    with pytest.raises(BackboneError, match=r"a prompt learner's checkpoint \(`prompt_learner"):
        load_backbone(tmp_path / "model.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_training_checkpoint_is_unwrapped_and_keeps_its_named_activation(tmp_path, named, zipped):
    state = {f"module.{name}": value for name, value in tiny_state().items()}
    blob = {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}
    torch.save(blob, tmp_path / "epoch_3.pt", _use_new_zipfile_serialization=zipped)
    backbone = load_backbone(named, pretrained=str(tmp_path / "epoch_3.pt"))
    assert_same_model(backbone, tiny_model(quick_gelu=False))
    assert backbone.description["warnings"] == []


def test_safetensors_and_folders_are_read(tmp_path, named):
    save_file(tiny_state(), tmp_path / "clip.safetensors")
    folder = save_folder(tmp_path / "folder", quick_gelu=False)
    expected = tiny_model(quick_gelu=False)
    assert_same_model(load_backbone(named, pretrained=str(tmp_path / "clip.safetensors")), expected)
    assert_same_model(load_backbone(folder), expected)


def test_a_folder_without_weights_is_refused_unless_random_is_asked_for(tmp_path):
    folder = save_folder(tmp_path / "folder")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"no weights; expected open_clip_model.safetensors"):
        load_backbone(folder)
    assert load_backbone(folder, pretrained="random").description["random"]


@pytest.mark.usefixtures("named")
def test_a_file_alone_in_half_precision_is_warned_of_with_both_commands(tmp_path):
    path = tmp_path / "half.pt"
    torch.save({name: value.half() for name, value in tiny_state().items()}, path)
    backbone = load_backbone(path)
    assert_same_model(backbone, tiny_model(), atol=3e-3)
    [warning] = backbone.description["warnings"]
    assert "taken for OpenAI's, with QuickGELU: nothing in it says so" in warning
    assert f"--backbone Tiny-16-quickgelu --pretrained {path} if it is OpenAI's" in warning
    assert f"--backbone Tiny-16 --pretrained {path} if not" in warning


def test_a_half_precision_file_fills_a_single_precision_model(tmp_path):
    state = tiny_state()
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "half.pt")
    model = load_backbone(tmp_path / "half.pt").model
    weight = model.state_dict()["visual.conv1.weight"]
    assert_close(weight, state["visual.conv1.weight"].half().float(), atol=0, rtol=0)


def test_random_weights_are_seeded_labelled_and_leave_the_callers_randomness_alone(named):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = load_backbone(named, pretrained="random", random_seed=3)
    assert_close(torch.rand(3), expected, atol=0, rtol=0)
    assert first.digest == load_backbone(named, pretrained="random", random_seed=3).digest
    assert first.digest != load_backbone(named, pretrained="random").digest
    assert first.description["weights"] == "random, seed 3"
    assert RANDOM_NOTE in first.description["warnings"]


def test_the_model_is_frozen_and_described_in_json(named):
    backbone = load_backbone(named, pretrained="random")
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert json.loads(json.dumps(backbone.description)) == backbone.description


def test_the_digest_sees_the_activation_the_weights_and_nothing_else(tmp_path, named):
    torch.save(published(tiny_state()), tmp_path / "a.pt")
    save_file(published(tiny_state()), tmp_path / "b.safetensors")
    digest = load_backbone(tmp_path / "a.pt").digest
    assert load_backbone(tmp_path / "b.safetensors").digest == digest
    torch.save(tiny_state(), tmp_path / "named.pt")
    assert load_backbone(named, pretrained=str(tmp_path / "named.pt")).digest != digest
    torch.save(published(tiny_state(seed=1)), tmp_path / "c.pt")
    assert load_backbone(tmp_path / "c.pt").digest != digest


def test_bfloat16_on_the_cpu_is_the_image_tower_only(named):
    full = load_backbone(named, pretrained="random")
    half = load_backbone(named, pretrained="random", precision="bf16")
    assert_close(half.encode_text(TEXTS), full.encode_text(TEXTS), atol=0, rtol=0)
    features = half.encode_image(pixels())
    assert features.dtype == torch.float32
    assert_close(features, full.encode_image(pixels()), atol=0.05, rtol=0.05)
    assert half.image_digest != full.image_digest


def test_the_transform_is_clips_own(named):
    picture = Image.new("RGB", (64, 48), (255, 0, 0))
    out = load_backbone(named, pretrained="random").preprocess(picture)
    assert out.shape == (3, 32, 32)
    assert_close(
        out[:, 0, 0],
        torch.tensor(
            [(1 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258, -0.40821073 / 0.27577711]
        ),
    )


def test_a_torchscript_archive_needs_trust_and_is_then_kept_as_tensors(tmp_path):
    archive = save_torchscript(tmp_path / "ViT.pt")
    cache = tmp_path / "cache"
    with pytest.raises(
        BackboneError, match=r"TorchScript archive, which is a program.*--trust-back"
    ):
        load_backbone(archive, cache_dir=cache)
    trusted = load_backbone(archive, trust_backbone=True, cache_dir=cache)
    assert_same_model(trusted, tiny_model(), atol=3e-3)
    again = load_backbone(archive, cache_dir=cache)  # no code runs this time, so no trust is needed
    assert again.digest == trusted.digest
    [folder] = (cache / "backbones").iterdir()
    assert load_backbone(folder).digest == trusted.digest


def test_a_published_torchscript_archive_needs_no_trust(tmp_path, monkeypatch):
    archive = save_torchscript(tmp_path / "ViT.pt")
    monkeypatch.setattr(module, "published_archives", lambda _clip: {_sha256(archive)})
    assert_same_model(load_backbone(archive), tiny_model(), atol=3e-3)


def test_open_clips_table_knows_openais_nine_archives():
    from ncscope.clip.plan import published_archives

    known = published_archives(open_clip)
    assert len(known) == 9
    assert all(len(digest) == 64 for digest in known)


def test_no_code_named_by_a_file_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    torch.save({**tiny_state(), "x": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(BackboneError, match="names classes other than tensors"):
        load_backbone(tmp_path / "bomb.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_files_are_read_without_torchs_unpickler(tmp_path, monkeypatch, zipped):
    state = published(tiny_state())
    torch.save(state, tmp_path / "clip.pt", _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load"))
    assert_same_model(load_backbone(tmp_path / "clip.pt"), tiny_model())


def test_a_tag_offline_is_one_line_that_names_the_local_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BackboneError, match=r"could not be downloaded.*--pretrained FILE.*--backbone PATH"
    ) as error:
        load_backbone("ViT-B/16", pretrained="openai")
    assert "\n" not in str(error.value)


def test_a_tag_trained_with_quick_gelu_gets_it_under_the_plain_name(tmp_path, monkeypatch, named):
    table = {"openai": {"hf_hub": "nobody/nothing/", "quick_gelu": True, "mean": (0.5, 0.5, 0.5)}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, named, table)
    torch.save(tiny_state(), tmp_path / "clip.pt")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _: str(tmp_path / "clip.pt"))
    backbone = load_backbone(named, pretrained="openai")
    assert_same_model(backbone, tiny_model())
    assert backbone.description["preprocess"]["mean"] == [0.5, 0.5, 0.5]
    assert "QuickGELU" in backbone.description["warnings"][0]
    (tmp_path / "clip.pt").write_bytes((tmp_path / "clip.pt").read_bytes()[:-100_000])
    with pytest.raises(BackboneError, match=r"tag `openai`, are damaged .*; delete the file"):
        load_backbone(named, pretrained="openai")


def test_a_torchvision_of_another_torch_is_one_clear_line(monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "open_clip":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "open_clip")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(
        BackboneError, match=r"do not belong together.*pip install torch torchvision"
    ):
        load_backbone("ViT-B-16", pretrained="openai")


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("ViT-B-61", None, "is no open_clip model, file or folder; near it are ViT-B-16"),
        ("./nothing.pt", None, "no such file or folder"),
        ("ViT-B-16", None, "an architecture and no weights; give --pretrained TAG"),
        ("ViT-B-16", "openia", "neither a file nor a tag of `ViT-B-16`; its tags: openai"),
    ],
)
def test_names_that_lead_nowhere_say_what_would(name, pretrained, message):
    with pytest.raises(BackboneError, match=message):
        load_backbone(name, pretrained=pretrained)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"PK\x03\x04 and then nothing", "not a readable file of weights"),
        (b"\x80\x02}q\x00.", "not a readable file of weights"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "clip.pt").write_bytes(content)
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(tmp_path / "clip.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    torch.save(tiny_state(), path) if suffix == ".pt" else save_file(tiny_state(), path)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(BackboneError, match=r"clip\.(pt|safetensors): (not a readable|damaged)"):
        load_backbone(path)


def changed(**changes):
    state = tiny_state()
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return published(state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"ctx": torch.zeros(4, 8)}, r"a prompt learner's checkpoint \(`ctx`\), not a CLIP"),
        ({"a": torch.zeros(2)}, "no CLIP state dict in OpenAI's format"),
        ({"a": 3}, r"`a` is a int; expected a state dict"),
        ([1], "expected a state dict of named tensors, got list"),
        (changed(ln_final__weight=None), r"1 weights are missing \(`ln_final.weight`\)"),
        (changed(text__extra=torch.zeros(1)), r"1 are not the model's \(`text.extra`\)"),
        (
            changed(ln_final__bias=torch.zeros(3)),
            r"1 have another shape \(`ln_final.bias`: \(3,\) for \(64,\)",
        ),
        (changed(token_embedding__weight=torch.zeros(100, 64)), "100 tokens; expected 49408"),
        (changed(visual__conv1__weight=torch.zeros(1280, 3, 16, 16)), "1280 wide is not OpenAI's"),
        (changed(visual__conv1__weight=torch.zeros(70, 3, 16, 16)), "expected a multiple of 64"),
        (changed(visual__positional_embedding=torch.zeros(4, 64)), "not a square and one"),
    ],
)
def test_weights_that_fit_no_model_are_refused_in_one_line(tmp_path, state, message):
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(tmp_path / "clip.pt")
    assert "\n" not in str(error.value)


def test_a_configuration_that_builds_nothing_is_refused(tmp_path):
    folder = save_folder(tmp_path / "folder")
    config = folder / "open_clip_config.json"
    for content, message in [
        ("{", "not readable as JSON"),
        ("{}", "no `model_cfg` with embed_dim"),
        (json.dumps({"model_cfg": {**VIT, "wings": 2}}), "`model_cfg.wings` is no key that"),
        (
            json.dumps({"model_cfg": VIT, "preprocess_cfg": {"interpolation": 3}}),
            r"`preprocess_cfg.interpolation` is 3; expected one of 'bicubic'",
        ),
    ]:
        config.write_text(content)
        with pytest.raises(BackboneError, match=message):
            load_backbone(folder)
    config.unlink()
    with pytest.raises(BackboneError, match=r"no open_clip_config\.json in it"):
        load_backbone(folder)


def test_weights_given_twice_are_refused(tmp_path, named):
    folder = save_folder(tmp_path / "folder")
    with pytest.raises(BackboneError, match="holds its own weights"):
        load_backbone(folder, pretrained="openai")
    with pytest.raises(BackboneError, match="is a weight file, so `pretrained`"):
        load_backbone(folder / "open_clip_model.safetensors", pretrained="openai")
    with pytest.raises(BackboneError, match="`random_seed` is given without"):
        load_backbone(named, pretrained="openai", random_seed=0)


CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def without_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def with_two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("without_accelerator")
def test_auto_falls_back_to_the_cpu():
    assert choose_device("auto") == CPU


@pytest.mark.usefixtures("with_two_gpus")
def test_auto_takes_a_gpu():
    assert choose_device("auto") == CUDA
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.usefixtures("without_accelerator")
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "no GPU is visible|built without CUDA"),
        ("cuda:0", "no GPU is visible|built without CUDA"),
        ("mps", "which this machine does not have"),
        ("gpu", "expected auto, cpu, cuda, cuda:N or mps"),
        ("cpu:1", "expected auto"),
        ("cuda:x", "expected auto"),
    ],
)
def test_an_absent_device_is_refused(device, message):
    with pytest.raises(BackboneError, match=message):
        choose_device(device)


@pytest.mark.usefixtures("with_two_gpus")
def test_a_gpu_beyond_the_last_is_refused():
    with pytest.raises(BackboneError, match="only 2 GPUs, counted from 0"):
        choose_device("cuda:2")


def test_half_precision_is_for_devices_that_gain_by_it():
    for device in (CPU, CUDA, MPS):
        check_precision("fp32", device)
    check_precision("bf16", CPU)
    check_precision("fp16", CUDA)
    with pytest.raises(BackboneError, match="fp16 needs a CUDA device"):
        check_precision("fp16", CPU)
    with pytest.raises(BackboneError, match="bf16 is not used on mps"):
        check_precision("bf16", MPS)
    with pytest.raises(
        BackboneError, match="`precision` is 'half'; expected fp32, tf32, bf16, fp16"
    ):
        check_precision("half", CPU)
    check_precision("tf32", CUDA)
    with pytest.raises(BackboneError, match="tf32 needs a CUDA device; on the CPU use fp32 or"):
        check_precision("tf32", CPU)


def test_products_on_cuda_are_full_unless_tf32_is_asked_for_and_torch_has_its_own_back():
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [part.allow_tf32 for part in parts]
    for precision, wanted in (("fp32", False), ("tf32", True)):
        with products(precision, CUDA):
            assert [part.allow_tf32 for part in parts] == [wanted, wanted]
        assert [part.allow_tf32 for part in parts] == before
    with products("tf32", CPU):
        assert [part.allow_tf32 for part in parts] == before
