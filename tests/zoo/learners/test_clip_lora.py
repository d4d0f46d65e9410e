import math

import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.dassl_files import save_lora
from tests.zoo.learners import case, reference


def changed(flat, blocks, scale, config=case.CONFIG):
    """The backbone's state with the changes added to its weights."""
    state = {key: value.clone() for key, value in case.state(config).items()}
    for i, prefix in enumerate(blocks):
        joint = state[f"{prefix}attn.in_proj_weight"]
        places = [*joint.chunk(3), state[f"{prefix}attn.out_proj.weight"]]
        for part, weight in zip(("q_proj", "k_proj", "v_proj", "proj"), places, strict=True):
            if (key := f"weights.layer_{i}.{part}.w_lora_") + "A" in flat:
                weight += scale * flat[f"{key}B"] @ flat[f"{key}A"]
    return state


def test_features_are_those_of_the_changed_weights(tmp_path, backbone):
    flat = {k: 20 * v for k, v in learner_states.clip_lora(case.SIZES).items()}
    path = save_lora(tmp_path / "lora_weights.pt", flat, rank=2, alpha=3)
    learner = load_learner(path, backbone=backbone)
    names = [f"transformer.resblocks.{i}." for i in range(4)]
    state = changed(flat, [*names, *(f"visual.{name}" for name in names)], 3 / math.sqrt(2))
    texts = [f"a photo of a {name}." for name in case.sentences(case.NAMES, "")]
    rows, eot = case.embedded(texts, dtype=torch.float32)
    text = reference.text_forward(state, rows, eot, heads=case.TEXT_HEADS)
    image = reference.image_forward(state, case.pixels(), heads=case.IMAGE_HEADS)
    case.matches(learner, text, image)
    assert case.relative(case.reference_image(), image) > 0.01
    assert learner.image_digest != backbone.image_digest
    assert case.relative(backbone.encode_image(case.pixels()), case.reference_image()) < 1e-5


def test_layers_that_do_not_fit_the_towers_are_refused(tmp_path, backbone):
    flat = learner_states.clip_lora(learner_states.Sizes(layers=5))
    path = save_lora(tmp_path / "lora_weights.pt", flat)
    with pytest.raises(CheckpointError, match=r"changes of 10 layers .* the backbone, which has 8"):
        load_learner(path, backbone=backbone)


def test_a_file_without_rank_is_refused(tmp_path, backbone):
    flat = learner_states.clip_lora(case.SIZES)
    path = save_lora(tmp_path / "lora_weights.pt", flat)
    blob = torch.load(path)
    torch.save({"weights": blob["weights"], "metadata": {}}, path)
    with pytest.raises(CheckpointError, match="`metadata` with `r` and `alpha`"):
        load_learner(path, backbone=backbone)


def test_the_prompt_is_the_same_for_every_data_set_but_may_be_said(tmp_path, backbone):
    path = save_lora(tmp_path / "lora_weights.pt", learner_states.clip_lora(case.SIZES))
    plain = load_learner(path, backbone=backbone).text_features(case.NAMES)
    named, said = (
        load_learner(path, backbone=backbone, options=options).text_features(case.NAMES)
        for options in (LearnerOptions(data_name="EuroSAT"), LearnerOptions(template="a {}"))
    )
    assert case.relative(named, plain) == 0
    assert case.relative(said, plain) > 0.01


def changed_metadata(path, **changes):
    blob = torch.load(path)
    metadata = {k: v for k, v in {**blob["metadata"], **changes}.items() if v is not None}
    torch.save({"weights": blob["weights"], "metadata": metadata}, path)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 4}, "has rank 2; `metadata` says r 4"),
        ({"params": ["q", "v"]}, "layer 0 changes k_proj, q_proj, v_proj; `metadata` says params"),
        ({"params": ["q", "k", "v", "o"]}, "k_proj, proj, q_proj, v_proj was expected"),
        ({"params": None}, "says params None; expected some of q, k, v, o"),
        ({"encoder": "text"}, "changes of 8 layers .* do not fit the backbone, which has 4"),
        ({"encoder": None}, "says encoder None"),
        ({"position": "half-up"}, "do not fit the backbone, which has 0"),
        ({"position": "upmost"}, "position 'upmost'; expected one of text, vision, both"),
    ],
)
def test_metadata_that_contradict_the_tensors_are_refused(tmp_path, backbone, changes, said):
    path = save_lora(tmp_path / "lora_weights.pt", learner_states.clip_lora(case.SIZES))
    with pytest.raises(CheckpointError, match=said):
        load_learner(changed_metadata(path, **changes), backbone=backbone)
