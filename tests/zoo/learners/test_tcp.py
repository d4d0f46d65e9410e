import pytest
import torch

from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.zoo.learners import case, reference


def class_specific(state, names, zero_shot, prompts, ends):
    """Class-specific prompts from zero-shot features, before block 8 at positions 1..4.

    `prompts` are the written ones, (K, 77, W), whose first tokens the context replaces.
    """
    float_state = {key: value.float() for key, value in state.items()}
    rows, eot = case.embedded(
        [zero_shot.replace("{}", text) for text in case.sentences(names, "")],
        dtype=torch.float32,
        config=case.DEEP,
    )
    plain = reference.text_forward(case.state(case.DEEP), rows, eot, heads=1)
    hidden = reference.linear(reference.normalise(plain), float_state, "meta_net.linear1")
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    own = reference.linear(hidden, float_state, "meta_net.linear2").reshape(len(names), 4, -1)

    def change(when, i, x, _x_in):
        if when == "before" and i == 8:
            x = x.clone()
            for k in range(len(names)):
                x[1:5, k] = own[k]
        return x

    context = float_state["ctx"].expand(len(names), -1, -1)
    prompts = torch.cat([prompts[:, :1], context, prompts[:, 5:]], dim=1)
    state = case.state(case.DEEP)
    return reference.text_forward(state, prompts, ends, heads=1, change=change)


def reference_text(state, names, zero_shot, before, after):
    texts = [f"{before} {text}" for text in case.sentences(names, after)]
    rows, ends = case.embedded(texts, config=case.DEEP)
    return class_specific(state, names, zero_shot, rows.float(), ends)


@pytest.mark.parametrize(
    ("data", "zero_shot", "before", "after"),
    [
        ("OxfordPets", "a photo of a {}, a type of pet.", "X X X X", ", a type of pet."),
        ("UCF101", "a photo of a person doing {}.", "a photo of a person doing", "."),
        ("FGVCAircraft", "a photo of an aircraft {}.", "X X X X", ", a type of aircraft."),
        ("StanfordCars", "a photo of a {}.", "X X X X", ", a type of car"),
    ],
)
def test_features_are_those_of_the_plain_pass(
    tmp_path, deep_backbone, data, zero_shot, before, after
):
    rows = case.embedded(
        [f"{before} {text}" for text in case.sentences(case.NAMES, after)], config=case.DEEP
    )[0]
    state = learner_states.tcp(case.SIZES)
    state |= {"token_prefix": rows[:, :1], "token_suffix": rows[:, 5:]}
    run = case.save(tmp_path, state, trainer="TCP", dataset=data)
    learner = load_learner(run, backbone=deep_backbone)
    for names in (case.NAMES, case.NEW):
        wanted = reference_text(state, names, zero_shot, before, after)
        assert case.relative(learner.text_features(names), wanted) < 1e-5


def test_without_a_data_set_it_asks_for_one(tmp_path, deep_backbone):
    state = {k: v for k, v in learner_states.tcp(case.SIZES).items() if "token" not in k}
    run = case.save(tmp_path, state, log=None)
    with pytest.raises(CheckpointError, match=r"give --data-name \(Caltech101, .*or --template"):
        load_learner(run, backbone=deep_backbone)
    load_learner(run, backbone=deep_backbone, options=LearnerOptions(data_name="oxfordpets"))
    with pytest.raises(CheckpointError, match="'MyPets' is none of them"):
        load_learner(run, backbone=deep_backbone, options=LearnerOptions(data_name="MyPets"))
    load_learner(
        run,
        backbone=deep_backbone,
        options=LearnerOptions(data_name="MyPets", template="a photo of a {}."),
    )


def test_a_shallow_text_tower_is_refused(tmp_path, backbone):
    state = {k: v for k, v in learner_states.tcp(case.SIZES).items() if "token" not in k}
    with pytest.raises(BackboneError, match="before block 8, but the backbone's text tower has 4"):
        load_learner(case.save(tmp_path, state, trainer="TCP"), backbone=backbone)
