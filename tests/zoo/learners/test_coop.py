import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.learner_states import Sizes
from tests.zoo.learners import case, reference

POSITIONS = ("end", "middle", "front")


def reference_text(ctx, names, position):
    """[SOT] context and name in one of three orders [. EOT pad]; EOT as in the end form."""
    n = ctx.shape[-2]
    rows, eot = case.embedded([" ".join(["X"] * n) + " " + s for s in case.sentences(names)])
    name_ids = case.token_ids([s.removesuffix(".") for s in case.sentences(names)])
    prompts = []
    for k, row in enumerate(rows.float()):
        own = (ctx if ctx.ndim == 2 else ctx[k]).float()
        length = name_ids[k].tolist().index(49407) - 1
        name, rest = row[1 + n : 1 + n + length], row[1 + n + length :]
        half = n // 2
        parts = {
            "end": [row[:1], own, name, rest],
            "middle": [row[:1], own[:half], name, own[half:], rest],
            "front": [row[:1], name, own, rest],
        }[position]
        prompts.append(torch.cat(parts))
    return reference.text_forward(case.state(), torch.stack(prompts), eot, heads=case.TEXT_HEADS)


@pytest.mark.parametrize("csc", [False, True], ids=["shared", "class-specific"])
@pytest.mark.parametrize("position", POSITIONS)
def test_features_are_those_of_the_77_token_pass(tmp_path, backbone, position, csc):
    state = learner_states.coop(case.SIZES, csc=csc, prompts=case.prompts_of("X X X X"))
    settings = {"CLASS_TOKEN_POSITION": position, "CSC": csc}
    run = case.save(tmp_path, state, settings=settings)
    learner = load_learner(run, backbone=backbone)

    wanted = reference_text(state["ctx"], case.NAMES, position)
    assert case.relative(learner.text_features(case.NAMES), wanted) < 1e-5
    image = reference.image_forward(case.state(), case.pixels(), heads=case.IMAGE_HEADS)
    assert case.relative(learner.image_features(case.pixels()), image) < 1e-5
    assert learner.description["class_token_position"] == position
    assert learner.description["settings_from"]["class_token_position"] == "log.txt"
    assert learner.image_digest == backbone.image_digest


@pytest.mark.parametrize("position", POSITIONS)
def test_new_classes_get_the_shared_context(tmp_path, backbone, position):
    state = learner_states.coop(case.SIZES, prompts=case.prompts_of("X X X X"))
    run = case.save(tmp_path, state, settings={"CLASS_TOKEN_POSITION": position})
    learner = load_learner(run, backbone=backbone)
    wanted = reference_text(state["ctx"], case.NEW, position)
    assert case.relative(learner.text_features(case.NEW), wanted) < 1e-5


def test_class_specific_contexts_follow_the_names_and_refuse_others(tmp_path, backbone):
    state = learner_states.coop(case.SIZES, csc=True, prompts=case.prompts_of("X X X X"))
    learner = load_learner(case.save(tmp_path, state, settings={"CSC": True}), backbone=backbone)
    order = ("St. Bernard", "CAT")
    rows = learner.text_features(case.NAMES)[[3, 0]]
    assert case.relative(learner.text_features(order), rows) < 1e-6
    with pytest.raises(CheckpointError, match=r"contexts belong to the classes.*'sea otter'"):
        learner.text_features(case.NEW)


@pytest.mark.parametrize(
    ("trainer", "state", "method"),
    [
        ("KgCoOp", learner_states.kgcoop, "KgCoOp"),
        ("DeKgCoOp", learner_states.kgcoop, "DeKg"),
        ("ProGrad", learner_states.coop, "ProGrad"),
        ("CoOpNemesis", learner_states.coop, "Nemesis"),
    ],
)
def test_relatives_of_coop_give_its_features(tmp_path, backbone, trainer, state, method):
    tensors = {**state(case.SIZES)}
    prompts = case.prompts_of("X X X X")
    tensors |= {"token_prefix": prompts[:, :1], "token_suffix": prompts[:, 5:]}
    learner = load_learner(case.save(tmp_path, tensors, trainer=trainer), backbone=backbone)
    assert learner.description["method"] == method
    wanted = reference_text(tensors["ctx"], case.NAMES, "end")
    assert case.relative(learner.text_features(case.NAMES), wanted) < 1e-5


def test_without_a_log_the_position_is_a_default_with_a_warning(tmp_path, backbone):
    state = learner_states.coop(case.SIZES, prompts=case.prompts_of("X X X X"))
    run = case.save(tmp_path, state, log=None)
    learner = load_learner(run, backbone=backbone)
    assert any("`end` is taken" in w for w in learner.description["warnings"])
    learner = load_learner(
        run, backbone=backbone, options=LearnerOptions(class_token_position="front")
    )
    assert learner.description["settings_from"]["class_token_position"] == "option"
    wanted = reference_text(state["ctx"], case.NAMES, "front")
    assert case.relative(learner.text_features(case.NAMES), wanted) < 1e-5
    with pytest.raises(CheckpointError, match="position 'side'; expected end, middle, front"):
        load_learner(run, backbone=backbone, options=LearnerOptions(class_token_position="side"))


def test_context_of_another_width_is_refused(tmp_path, backbone):
    state = {"ctx": torch.zeros(4, 96)}
    with pytest.raises(CheckpointError, match=r"`ctx` is \(4, 96\); expected \(n, 64\)"):
        load_learner(case.save(tmp_path, state, log=None), backbone=backbone)


def test_tokens_of_another_backbone_are_refused(tmp_path, backbone):
    state = learner_states.coop(Sizes())  # its prompts are noise
    with pytest.raises(CheckpointError, match="trained on another backbone"):
        load_learner(case.save(tmp_path, state), backbone=backbone)


def test_a_word_that_all_names_share_stays_in_the_names(tmp_path, backbone):
    names = ("red fox", "red panda", "red deer")
    state = learner_states.coop(Sizes(classes=3), prompts=case.prompts_of("X X X X", names))
    learner = load_learner(case.save(tmp_path, state), backbone=backbone)
    assert learner.classnames == names
    wanted = reference_text(state["ctx"], names, "end")
    assert case.relative(learner.text_features(names), wanted) < 1e-5
