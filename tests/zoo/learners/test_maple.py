import pytest
import torch

from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.learner_states import Sizes
from tests.tiny_clip import RESNET, save_folder
from tests.zoo.learners import case, reference

TWO = Sizes(context=2)
RUN = {"trainer": "MaPLe", "section": "MAPLE", "model": "MultiModalPromptLearner"}
LOGGED = {"N_CTX": 2, "CTX_INIT": "a photo of a", "PROMPT_DEPTH": 3}


def parts(state):
    """Context, deep text prompts, and image prompts, rounded where the authors use half."""
    learner = {k.removeprefix("prompt_learner."): v for k, v in state.items()}
    deep = [learner[f"compound_prompts_text.{i}"] for i in range(2)]
    images = [learner["ctx"].float() @ learner["proj.weight"].float().T + learner["proj.bias"]]
    for i, prompt in enumerate(deep):
        weight = learner[f"compound_prompt_projections.{i}.weight"]
        images.append(prompt @ weight.T + learner[f"compound_prompt_projections.{i}.bias"])
    used = [[value.half().float() for value in values] for values in (deep, images)]
    return learner["ctx"], *used


def sides(state, before, names=case.NAMES, start=1, head=None):
    """Reference features; deep text prompts go to positions `start`.."""
    context, deep, images = parts(state)
    change = reference.replace_text(deep, start=start)
    text = case.reference_text(context if head is None else head, before, names, change=change)
    image_change = reference.replace_image(images[1:])
    return text, case.reference_image(appended=images[0], change=image_change)


def test_features_are_those_of_the_plain_pass_with_the_fixed_words(tmp_path, backbone):
    state = case.whole(learner_states.maple(TWO), before="a photo of a")
    learner = load_learner(case.save(tmp_path, state, settings=LOGGED, **RUN), backbone=backbone)
    case.matches(learner, *sides(state, "a photo of a"))
    text, image = sides(state, "a photo of a", case.NEW)
    case.matches(learner, text, image, names=case.NEW)
    assert learner.classnames == ("cat", "grey seal", "oak tree", "st. bernard", "7 spot ladybird")
    assert learner.image_digest != backbone.image_digest
    assert learner.description["depth"] == 3


def test_the_fixed_words_are_found_without_a_log(tmp_path, backbone):
    state = case.whole(learner_states.maple(TWO), before="a photo of a")
    learner = load_learner(case.save(tmp_path, state, log=None, **RUN), backbone=backbone)
    assert (
        case.relative(learner.text_features(case.NEW), sides(state, "a photo of a", case.NEW)[0])
        < 1e-5
    )


def test_without_deep_prompts_only_the_first_block_has_any(tmp_path, backbone):
    state = case.whole(learner_states.maple(Sizes(context=2, depth=1)), before="X X")
    learner = load_learner(case.save(tmp_path, state, log=None, **RUN), backbone=backbone)
    weight = state["prompt_learner.proj.weight"].float()
    shallow = state["prompt_learner.ctx"].float() @ weight.T + state["prompt_learner.proj.bias"]
    image = case.reference_image(appended=shallow.half().float())
    case.matches(learner, case.reference_text(state["prompt_learner.ctx"], "X X"), image)


def test_attributes_stand_before_the_context_and_deep_prompts_behind_them(tmp_path, backbone):
    state = case.whole(learner_states.maple_atp(TWO))
    state = case.prompted(state, "X X color X X", prefix="prompt_learner.", skip=5)
    word = case.embedded(["color"])[0][0, 1:2]
    state["prompt_learner.token_middle1"] = word.expand(5, 1, -1).clone()
    run = case.save(
        tmp_path, state, trainer="MaPLe_ATP", section="MAPLE", model="M", settings=LOGGED
    )
    learner = load_learner(run, backbone=backbone)
    head = torch.cat([state["prompt_learner.ctx_att1"], word, state["prompt_learner.ctx"]])
    case.matches(learner, *sides(state, "X X color X X", head=head, start=4))


def test_prompts_change_the_image_digest(tmp_path, backbone):
    digests = set()
    for seed in (0, 1):
        state = case.whole(learner_states.maple(TWO, seed), before="a photo of a")
        run = case.save(tmp_path / str(seed), state, log=None, **RUN)
        digests.add(load_learner(run, backbone=backbone).image_digest)
    assert len(digests) == 2


def test_a_resnet_and_another_width_are_refused(tmp_path, backbone):
    state = {k: v for k, v in learner_states.maple(TWO).items() if k.startswith("prompt")}
    state = {k: v for k, v in state.items() if "token_" not in k}
    run = case.save(tmp_path / "run", state, **RUN)
    resnet = load_backbone(save_folder(tmp_path / "resnet", config=RESNET))
    with pytest.raises(BackboneError, match="MaPLe puts learned tokens into a vision transformer"):
        load_learner(run, backbone=resnet)
    state["prompt_learner.proj.weight"] = torch.zeros(96, 64)
    run = case.save(tmp_path / "other", state, **RUN)
    with pytest.raises(CheckpointError, match=r"proj.weight` is \(96, 64\); expected \(128, 64\)"):
        load_learner(run, backbone=backbone)


def test_prompts_for_more_blocks_than_there_are_are_refused(tmp_path, backbone):
    state = case.whole(learner_states.maple(Sizes(context=2, depth=6)), before="a photo of a")
    with pytest.raises(CheckpointError, match=r"prompts for 6 blocks, but .* has 4"):
        load_learner(case.save(tmp_path, state, log=None, **RUN), backbone=backbone)


def test_coprompt_mixes_both_features_with_their_adapters(tmp_path, backbone):
    state = case.whole(learner_states.coprompt(TWO), before="a photo of a")
    del state["model_distill.token_embedding.weight"]
    run = case.save(tmp_path, state, trainer="CoPrompt", section="COPROMPT", settings=LOGGED)
    learner = load_learner(run, backbone=backbone)

    def adapted(rows, side, share):
        down, up = (state[f"adapter_{side}.fc.{i}.weight"].float() for i in (0, 2))
        inner = (rows @ down.T).clamp(min=0)
        return share * (inner @ up.T).clamp(min=0) + (1 - share) * rows

    text, image = sides(state, "a photo of a")
    case.matches(learner, adapted(text, "text", 0.2), adapted(image, "image", 0.1))
