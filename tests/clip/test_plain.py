"""Our own towers against open_clip's: the same names, the same numbers."""

import copy
import json

import open_clip
import pytest
import torch
from torch.testing import assert_close

from ncscope.clip.installed import alone, clip_tokenizer, has_config, version
from ncscope.clip.plain import is_plain, plain_clip
from tests.shapes import normal
from tests.tiny_clip import RESNET, VIT, tiny_model

WIDE = {
    "embed_dim": 24,
    "vision_cfg": {
        "layers": 3, "width": 48, "patch_size": 8, "image_size": 24, "head_width": 16,
    },
    "text_cfg": {"context_length": 20, "vocab_size": 600, "width": 32, "heads": 4, "layers": 3},
}  # fmt: skip


def both(config, *, quick_gelu):
    theirs = copy.deepcopy(tiny_model(config, quick_gelu=quick_gelu)).double()
    ours = plain_clip({**config, "quick_gelu": quick_gelu}).eval().double()
    ours.load_state_dict(theirs.state_dict())  # strict: the names are the same
    return ours, theirs


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("config", [VIT, WIDE], ids=["one head", "several"])
def test_features_and_gradients_are_open_clips(config, quick_gelu):
    ours, theirs = both(config, quick_gelu=quick_gelu)
    side, length = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"]
    ids = torch.zeros(2, length, dtype=torch.long)
    ids[:, :5] = torch.tensor([[1, 9, 7, 30, 599], [1, 8, 599, 0, 0]])
    found = []
    for model in (ours, theirs):
        pixels = normal(2, 3, side, side).requires_grad_()
        image, text = model.encode_image(pixels), model.encode_text(ids)
        found.append([image, text, *torch.autograd.grad(image.square().sum(), pixels)])
    for mine, other in zip(*found, strict=True):
        assert_close(mine, other, atol=1e-12, rtol=1e-10)
    with torch.no_grad():  # where values are changed in place
        assert_close([ours.encode_image(pixels), ours.encode_text(ids)], found[0][:2])
    other = both(config, quick_gelu=not quick_gelu)[0].encode_text(ids)
    assert (other - found[0][1]).abs().max() > 1e-4


def test_plain_are_openais_transformers_and_nothing_that_open_clip_builds_otherwise():
    folder = __import__("pathlib").Path(open_clip.__file__).parent / "model_configs"
    configs = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    plain = {name for name, config in configs.items() if is_plain(config)}
    assert {"ViT-B-16", "ViT-B-32-quickgelu", "ViT-L-14-336", "ViT-H-14"} <= plain
    assert not {"RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP", "EVA02-B-16"} & plain
    for name in ("ViT-B-32-quickgelu", "ViT-H-14"):
        with torch.device("meta"):
            ours, theirs = plain_clip(configs[name]), open_clip.CLIP(**configs[name])
        shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (ours, theirs)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "change",
    [
        {"vision_cfg": RESNET["vision_cfg"]},
        {"vision_cfg": {**VIT["vision_cfg"], "mlp_ratio": 2.0}},
        {"text_cfg": {**VIT["text_cfg"], "no_causal_mask": True}},
        {"text_cfg": {**VIT["text_cfg"], "head_width": 64}},
        {"vision_cfg": {**VIT["vision_cfg"], "image_size": [32, 48]}},
        {"vision_cfg": {**VIT["vision_cfg"], "image_size": 40}},
        {"init_logit_bias": -10},
        {"custom_text": True},
    ],
    ids=lambda change: str(change)[:40],
)
def test_whatever_else_a_configuration_says_is_left_to_open_clip(change):
    assert is_plain(VIT)
    assert not is_plain({**VIT, **change})


def test_parts_of_open_clip_by_themselves_are_open_clips():
    assert version() == open_clip.__version__
    assert has_config("ViT-B-16")
    assert not has_config("ViT-B-16.pt")
    assert not has_config("..")
    texts = ["a photo of a Grey  Seal.", "don&amp;t 3 naïve ✓"]
    alone.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.delitem(__import__("sys").modules, "open_clip.tokenizer")
        mine = alone("tokenizer").SimpleTokenizer(context_length=20)
    assert type(mine) is not open_clip.SimpleTokenizer
    assert torch.equal(mine(texts), open_clip.SimpleTokenizer(context_length=20)(texts))
    assert torch.equal(clip_tokenizer(20)(texts), mine(texts))
