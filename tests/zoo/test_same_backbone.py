"""The backbone that a run names is compared with the one it is put on."""

import dataclasses

import pytest

from ncscope.checkpoint.inspect import inspect
from ncscope.zoo.load import load_learner
from ncscope.zoo.same_backbone import backbone_doubts
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states as states
from tests.dassl_files import save_lora
from tests.zoo.learners import case

VIT_B_16 = {
    "embed_dim": 512,
    "vision_cfg": {"layers": 12, "width": 768, "patch_size": 16, "image_size": 224},
    "text_cfg": {"width": 512, "layers": 12},
}
VIT_B_32 = {**VIT_B_16, "vision_cfg": {**VIT_B_16["vision_cfg"], "patch_size": 32}}
RN50 = {
    "embed_dim": 1024,
    "vision_cfg": {"layers": [3, 4, 6, 3], "width": 64, "patch_size": None, "image_size": 224},
    "text_cfg": {"width": 512, "layers": 12},
}
RN101 = {**RN50, "embed_dim": 512}
KNOWN = {"ViT-B/16": VIT_B_16, "ViT-B/32": VIT_B_32, "RN50": RN50, "RN101": RN101}


def described(backbone, architecture, name="clip.pt"):
    text = {**backbone.description, "architecture": architecture, "name": name}
    return dataclasses.replace(backbone, description=text)


@pytest.fixture
def run(tmp_path):
    """Opens a TaskRes run, which fits every backbone of its width, with a backbone in its log."""

    def run(logged):
        state = states.taskres(case.SIZES)
        return inspect(
            case.save(
                tmp_path / "run", state, trainer="TaskRes", section="TaskRes", backbone=logged
            )
        )

    return run


@pytest.mark.parametrize("logged", KNOWN)
@pytest.mark.parametrize("used", KNOWN)
def test_openais_models_are_told_apart_by_their_sizes(run, backbone, logged, used):
    doubts = backbone_doubts(run(logged), described(backbone, KNOWN[used]))
    if logged == used:
        assert doubts == []
    else:
        [doubt] = doubts
        assert doubt.startswith(f"log.txt names the backbone {logged}, a ")
        assert f"measured on clip.pt, {used}'s architecture" in doubt


@pytest.mark.parametrize(
    ("logged", "said"),
    [
        ("ViT-B/16", None),
        ("ViT-B/32", "ViT-B/32, a vision transformer of patch 32; measured on"),
        ("RN50", "RN50, a ResNet; measured on"),
        ("MyCLIP", "log.txt names the backbone MyCLIP; measured on"),
    ],
)
def test_a_model_of_ones_own_is_compared_by_kind_and_patch(run, backbone, logged, said):
    options = LearnerOptions(classnames=case.NAMES, residual_scale=0.5)
    learner = load_learner(run(logged), backbone=backbone, options=options)
    found = [text for text in learner.description["warnings"] if "the backbone" in text]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
    assert said is None or learner.description["warnings"][0] == found[0]


def test_clip_loras_folder_names_its_backbone(tmp_path, backbone):
    path = tmp_path / "vitb32" / "caltech101" / "lora_weights.pt"
    save_lora(path, states.clip_lora(case.SIZES))
    [doubt] = backbone_doubts(inspect(path), backbone)
    assert doubt.startswith("the folder vitb32 names the backbone ViT-B/32")


PETS = "a photo of a {}, a type of pet."


@pytest.mark.parametrize(
    ("own", "given", "extra", "said"),
    [
        ("same", case.NAMES, {}, False),
        ("same", tuple(reversed(case.NAMES)), {}, True),
        ("another", case.NAMES, {}, True),
        ("another", case.NAMES, {"ENHANCED_BASE": "base.pt"}, False),
        ("same", case.NAMES, {"ENHANCED_BASE": "none"}, False),
    ],
)
def test_taskress_base_is_compared_with_the_backbones(tmp_path, backbone, own, given, extra, said):
    """The authors keep `_` in names; NAMES have it in two of five."""
    texts = [PETS.replace("{}", name) for name in case.NAMES]
    model = case.tiny_model(case.CONFIG, seed=0 if own == "same" else 5)
    state = {**states.taskres(case.SIZES)}
    state["base_text_features"] = model.encode_text(case.token_ids(texts)).half()
    settings = {"RESIDUAL_SCALE": 0.5, **extra}
    log = {"trainer": "TaskRes", "section": "TaskRes", "backbone": "ViT-B/16"}
    run = case.save(tmp_path, state, settings=settings, **log)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(classnames=given))
    found = [w for w in learner.description["warnings"] if w.startswith("`base_text_features` of")]
    assert len(found) == said
    elsewhere = LearnerOptions(classnames=given, data_name="UCF101")
    told = load_learner(run, backbone=backbone, options=elsewhere).description["warnings"]
    assert any("'s for 'a photo of a person doing {}.'" in w for w in told) or extra
