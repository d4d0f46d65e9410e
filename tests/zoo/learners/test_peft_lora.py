"""PEFT's adapters against a plain forward pass of the changed weights, and against PEFT itself."""

import json
from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.errors import CheckpointError
from ncscope.features.sources import open_source
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.dassl_files import save_peft
from tests.zoo.learners import case, reference

Scale = Callable[[int, str], float]  # of a block's number and a part's name
LAYER = "base_model.model.text_model.encoder.layers.1."
STATE = {k: 20 * v for k, v in learner_states.peft_lora(case.SIZES).items()}


def changed(scale: Scale) -> dict[str, torch.Tensor]:
    """The small CLIP's weights with the changes of queries and values added."""
    state = {key: value.clone() for key, value in case.state().items()}
    for side, prefix in (("text", ""), ("vision", "visual.")):
        for i in range(case.SIZES.layers):
            weight = state[f"{prefix}transformer.resblocks.{i}.attn.in_proj_weight"]
            width = weight.shape[1]
            for place, name in ((0, "q_proj"), (2, "v_proj")):
                key = f"base_model.model.{side}_model.encoder.layers.{i}.self_attn.{name}.lora_"
                low, high = STATE[f"{key}A.weight"], STATE[f"{key}B.weight"]
                weight[place * width : (place + 1) * width] += scale(i, name) * high @ low
    return state


def expected(state, names=case.NAMES):
    texts = [f"a photo of a {name}." for name in case.sentences(names, "")]
    rows, eot = case.embedded(texts, dtype=torch.float32)
    text = reference.text_forward(state, rows, eot, heads=case.TEXT_HEADS)
    return text, reference.image_forward(state, case.pixels(), heads=case.IMAGE_HEADS)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, lambda _, __: 3 / 2),
        ({"use_rslora": True}, lambda _, __: 3 / 2**0.5),
        (
            {"alpha_pattern": {"layers.1.self_attn.q_proj": 5, "v_proj": 7}},
            lambda i, name: {"v_proj": 7}.get(name, 5 if i == 1 else 3) / 2,
        ),
    ],
    ids=["plain", "rslora", "alpha by module"],
)
def test_features_are_those_of_the_changed_weights(tmp_path, backbone, config, scale):
    learner = load_learner(save_peft(tmp_path, STATE, **config), backbone=backbone)
    text, image = expected(changed(scale))
    case.matches(learner, text, image)
    assert case.relative(case.reference_image(), image) > 0.01
    assert learner.image_digest != backbone.image_digest
    assert case.relative(backbone.encode_image(case.pixels()), case.reference_image()) < 1e-5


def test_another_alpha_is_another_digest(tmp_path, backbone):
    digests = {
        load_learner(
            save_peft(tmp_path / str(alpha), STATE, lora_alpha=alpha), backbone=backbone
        ).image_digest
        for alpha in (1, 2)
    }
    assert len(digests) == 2


def test_template_and_base_are_said(tmp_path, backbone):
    save_peft(tmp_path, STATE, base_model_name_or_path="openai/clip-vit-base-patch16")
    options = LearnerOptions(template="{}")
    learner = open_source(tmp_path, backbone=backbone, options=options)
    assert any(
        "names the base model 'openai/clip-vit-base-patch16'; it is put on" in note
        for note in learner.description["warnings"]
    )
    assert learner.description["templates"] == ["{}"]


def without(key):
    return {name: value for name, value in STATE.items() if name != key}


Q = f"{LAYER}self_attn.q_proj."
REFUSED = {
    "type": (STATE, {"peft_type": "IA3"}, "`peft_type` is 'IA3'; expected one of 'LORA'"),
    "no type": (STATE, {"peft_type": None}, "no `peft_type` in it"),
    "rank": (STATE, {"rank": 4}, "says rank 4"),
    "rank by module": (STATE, {"rank_pattern": {"q_proj": 3}}, "says rank 3"),
    "pattern": (STATE, {"rank_pattern": {"(a+)+": 3}}, r"has '\(a\+\)\+', a regular expression"),
    "pattern's number": (STATE, {"alpha_pattern": {"q_proj": "x"}}, "is 'x'; expected a number"),
    "more": (STATE, {"layer_replication": [[0, 4]]}, "`layer_replication` is list, which is not"),
    "start": (STATE, {"init_lora_weights": "pissa"}, "'pissa', which changes the base weights"),
    "alpha": (STATE, {"lora_alpha": float("nan")}, "`lora_alpha` is nan; expected a number"),
    "dora": (STATE, {"use_dora": True}, "has no learned length, unlike what `use_dora`"),
    "half": (without(f"{Q}lora_B.weight"), {}, "has not both of its factors A and B"),
    "foreign": (
        {**STATE, "base_model.model.lm_head.lora_A.weight": torch.zeros(2, 4),
         "base_model.model.lm_head.lora_B.weight": torch.zeros(4, 2)},
        {}, "`lm_head.weight` is no weight of",
    ),
    "wide": (
        {**STATE, f"{Q}lora_A.weight": torch.zeros(2, 5)}, {},
        r"is \(\d+, 5\), and \(\d+, \d+\) in",
    ),
    "nan": ({**STATE, f"{Q}lora_A.weight": torch.full((2, 5), float("nan"))}, {}, "holds NaN"),
    "whole": (
        {**STATE, f"{Q}lora_A.weight": torch.zeros(2, 5, dtype=torch.int64)}, {},
        "is torch.int64; expected floating",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, backbone, name):
    state, config, message = REFUSED[name]
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_learner(save_peft(tmp_path, state, **config), backbone=backbone)
    assert len(str(refusal.value).splitlines()) == 1


def test_an_adapter_without_its_configuration_or_backbone_is_refused(tmp_path, backbone):
    folder = save_peft(tmp_path, STATE)
    with pytest.raises(Exception, match="nothing tells its backbone"):
        load_learner(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match="missing; rank and alpha of the adapter beside it"):
        load_learner(folder, backbone=backbone)


def peft_model(folder, **config):
    """A random CLIP of `transformers` with an adapter that has been moved, and both folders."""
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    from tests.clip.test_hf_parity import clip_model, made

    model = clip_model()
    model.save_pretrained(folder / "base")
    targets = ["q_proj", "v_proj", "out_proj", "fc1", "text_projection"]
    asked = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": targets, **config})
    loaded = transformers.CLIPModel.from_pretrained(folder / "base")
    adapted = made(peft.get_peft_model(loaded, asked))
    base = dict(model.named_parameters())
    with torch.no_grad():  # `made` moved the frozen weights, too
        for name, value in adapted.named_parameters():
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            if plain in base and not value.requires_grad:
                value.copy_(base[plain])
    adapted.save_pretrained(folder / "adapter")
    return adapted


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "config",
    [
        {"rank_pattern": {"text_model.encoder.layers.0.self_attn.q_proj": 2},
         "alpha_pattern": {"v_proj": 3}, "modules_to_save": ["visual_projection"]},
        {"use_rslora": True, "bias": "lora_only", "lora_bias": True,
         "target_modules": ["q_proj", "fc2"]},
        {"use_dora": True},
        {"target_modules": ["token_embedding", "patch_embedding", "k_proj"], "bias": "all"},
    ],
    ids=["patterns, modules_to_save", "rslora, biases", "dora", "embeddings, all biases"],
)  # fmt: skip
def test_features_are_those_of_peft(tmp_path, config):
    from tests.clip.test_hf_parity import pixels, pooled

    adapted = peft_model(tmp_path, **config)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 4
    backbone = load_backbone(tmp_path / "base")
    learner = load_learner(tmp_path / "adapter", backbone=backbone)
    ids = backbone.tokenizer(["a photo of a cat.", "a photo of a oak tree."])
    with torch.no_grad():
        text = pooled(adapted.base_model.model.get_text_features(input_ids=ids))
        image = pooled(adapted.base_model.model.get_image_features(pixel_values=pixels()))
    assert_close(learner.text_features(["cat", "oak_tree"]), text, atol=1e-5, rtol=0)
    assert_close(learner.image_features(pixels()), image, atol=1e-5, rtol=0)
    assert (learner.image_features(pixels()) - backbone.encode_image(pixels())).abs().max() > 1e-3
