"""Architectures that open_clip lists build untrained and give features; which learners fit is said.

One of each family, shrunk where its configuration says its sizes; `-m slow` builds one of each as
it is.
"""

import copy
import importlib.util

import numpy as np
import open_clip
import pytest
import torch

from ncscope.clip import plan
from ncscope.clip.backbone import load_backbone
from ncscope.clip.image_tower import check_image_tower
from ncscope.clip.text_tower import text_tower
from ncscope.clip.tokenizing import STAND_IN_NOTE
from ncscope.errors import BackboneError, DataError
from ncscope.features.extract import extract
from tests.tiny_clip import VIT

SMALL_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
SIGLIP_TEXT = {**SMALL_TEXT, "context_length": 64, "vocab_size": 32000, "no_causal_mask": True,
               "proj_bias": True, "pool_type": "last", "hf_tokenizer_name": "a/b"}  # fmt: skip


def timm(name, **more):
    vision = {"timm_model_name": name, "timm_model_pretrained": False, "image_size": 64, **more}
    return {"embed_dim": 32, "vision_cfg": vision, "text_cfg": SMALL_TEXT, "custom_text": True}


# the family -> its smallest configuration, whether learned prompts and image tokens go into it
FAMILIES = {
    "ViT": (VIT, True, True),
    "ResNet": (
        {**VIT, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "patch_size": None,
                               "image_size": 64}}, True, False),
    "EVA02": (timm("eva02_tiny_patch14_224", image_size=224, timm_pool="token"), True, False),
    "MobileCLIP": (timm("fastvit_t8", timm_pool="avg"), True, False),
    "ConvNeXt": (timm("convnext_atto", timm_pool="", timm_proj="linear"), True, False),
    "SigLIP": (
        {**timm("vit_tiny_patch16_224", image_size=224, timm_pool="avg", timm_proj="linear"),
         "text_cfg": SIGLIP_TEXT, "init_logit_bias": -10}, False, False),
    "CoCa": (
        {**VIT, "custom_text": True,
         "vision_cfg": {**VIT["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 4,
                        "output_tokens": True},
         "text_cfg": {**SMALL_TEXT, "embed_cls": True, "output_tokens": True},
         "multimodal_cfg": {"context_length": 76, "vocab_size": 49408, "width": 64, "heads": 2,
                            "layers": 1, "attn_pooler_heads": 4}}, False, False),
}  # fmt: skip
AS_THEY_ARE = ["ViT-B-32", "RN50", "EVA02-B-16", "coca_ViT-B-32", "MobileCLIP-S1",
               "ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "convnext_base", "ViTamin-S"]  # fmt: skip


@pytest.fixture
def named(monkeypatch):
    def name(config):
        models = open_clip.factory._MODEL_CONFIGS
        monkeypatch.setitem(models, "Small", copy.deepcopy(config))
        return "Small"

    return name


def refuses(check, *words):
    with pytest.raises(BackboneError) as refusal:
        check()
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_of_each_family_builds_and_says_which_learners_fit(named, family):
    config, prompts, tokens = FAMILIES[family]
    backbone = load_backbone(named(config), pretrained="random")
    side = backbone.image_size
    with torch.no_grad():
        image = backbone.encode_image(torch.randn(2, 3, side, side))
        text = backbone.encode_text(["a photo of a cat.", "a photo of a slow loris."])
    assert image.shape == text.shape == (2, backbone.width)
    assert torch.isfinite(image).all()
    assert not torch.allclose(text[0], text[1])
    assert (STAND_IN_NOTE in backbone.description["warnings"]) == (family == "SigLIP")
    if prompts:
        assert text_tower(backbone.model).blocks
    else:
        refuses(lambda: text_tower(backbone.model), "which learned prompts need")
    if tokens:
        assert check_image_tower(backbone, method="VPT") == 64
    else:
        refuses(
            lambda: check_image_tower(backbone, method="VPT"), "VPT puts learned tokens", "none"
        )


def test_a_learner_that_does_not_fit_is_refused_before_any_image_is_read(named, tmp_path):
    """CoOp's prompts on a SigLIP; the pictures are none, and would be refused if one were read."""
    torch.save({"state_dict": {"ctx": torch.zeros(4, 64)}}, tmp_path / "model.pth.tar")
    for name in ("cat", "oak"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "0.png").write_text("no picture")

    def run(family):
        extract(
            tmp_path / "model.pth.tar", data=tmp_path / "images", pretrained="random", cache="off",
            backbone=named(FAMILIES[family][0]), workers=0,
        )  # fmt: skip

    with pytest.raises(BackboneError, match="which learned prompts need"):
        run("SigLIP")
    with pytest.raises(DataError, match="cannot be read as images"):
        run("ViT")


def test_the_extra_that_a_text_tower_or_tokenizer_needs_is_named(named, monkeypatch, tmp_path):
    config = {**VIT, "text_cfg": {"hf_model_name": "roberta-base", "hf_tokenizer_name": "x/y"}}
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else found(name)
    )
    extra = r'is not installed: pip install "ncscope\[hf\]"'
    with pytest.raises(BackboneError, match=f"text tower roberta-base is built by .*{extra}"):
        load_backbone(named(config), pretrained="random")

    def asked(*_, **__):
        pytest.fail("the network was asked for weights that nothing here can read")

    monkeypatch.setattr(plan, "_download", asked)
    with pytest.raises(BackboneError, match=f"text tower xlm-roberta-base is built by .*{extra}"):
        load_backbone("xlm-roberta-base-ViT-B-32", pretrained="laion5b_s13b_b90k")
    with pytest.raises(BackboneError, match=f"its tokenizer is read by .*{extra}"):
        load_backbone("ViT-B-16-SigLIP", pretrained="webli")

    def absent(*_, **__):
        raise ImportError("transformers")

    monkeypatch.setattr(open_clip, "get_tokenizer", absent)
    model = plan.new_model(open_clip, plan.Plan("x", "random", VIT))
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match=f"its tokenizer is read by the library .*{extra}"):
        load_backbone(named(VIT), pretrained=str(tmp_path / "clip.pt"))


def test_stand_in_tokens_are_of_the_vocabulary_and_a_long_prompt_is_refused_there_too(named):
    backbone = load_backbone(named(FAMILIES["SigLIP"][0]), pretrained="random")
    ids = backbone.tokenizer(["a photo of a cat.", "zygote"])
    assert int(ids.max()) < 32000
    assert np.unique(ids.numpy(), axis=0).shape[0] == 2
    with pytest.raises(DataError, match="the text tower reads 64"):
        backbone.tokenizer(["cat " * 80])


@pytest.mark.slow
@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_architectures_as_they_are_listed_give_features(name):
    if name not in open_clip.list_models():
        pytest.skip(f"this open_clip does not list {name}")
    backbone = load_backbone(name, pretrained="random")
    with torch.no_grad():
        image = backbone.encode_image(torch.randn(1, 3, backbone.image_size, backbone.image_size))
        text = backbone.encode_text(["a photo of a cat."])
    assert image.shape == text.shape == (1, backbone.width)
