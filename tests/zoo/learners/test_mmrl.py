import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.learner_states import Sizes
from tests.zoo.learners import case, reference

SIZES = Sizes(depth=3)
PETS = "a photo of a {}, a type of pet."


def mmrl(make):
    state = case.whole(make(SIZES))
    state = {k: v * 5 if "representation" in k else v for k, v in state.items()}
    if make is learner_states.mmrlpp:
        del state["image_encoder.proj_rep"]
    return {**state, "prompt_embeddings": case.prompts_of("", after=", a type of pet.")}


def tokens(state, side, *, count=3, half=False):
    learner = {k.removeprefix("representation_learner."): v.float() for k, v in state.items()}
    shared = learner["compound_rep_tokens"]
    made = []
    for k in range(count):
        if f"srra_r2{side}proj.weight" in learner:
            own = f"srra_r2{side}proj.srra.{k}."
            weight = learner[f"srra_r2{side}proj.weight"] + learner[f"{own}A"] @ learner[f"{own}B"]
        else:
            own = f"compound_rep_tokens_r2{side}proj.{k}."
            weight = learner[f"{own}weight"]
        made.append(shared @ weight.T + learner[f"{own}bias"])
    return [new.half().float() for new in made] if half else made


def insert(new, beta, blocks):
    """At the first of the blocks all tokens go in; at later ones they replace or are mixed."""
    count = len(new[0])

    def change(when, i, x, _x_in):
        if when == "after" or i not in blocks:
            return x
        rows = new[blocks.index(i)][:, None].expand(-1, x.shape[1], -1)
        if i == blocks[0]:
            return torch.cat([x[:1], rows, x[1:]])
        return torch.cat([x[:1], beta * rows + (1 - beta) * x[1 : 1 + count], x[1 + count :]])

    return change


def reference_text(state, names, beta, *, blocks=(1, 2, 3), template=PETS, half=False):
    rows, eot = case.embedded(
        [template.replace("{}", name) for name in case.sentences(names, "")],
        dtype=torch.float16 if state["prompt_embeddings"].dtype == torch.float16 else torch.float32,
    )
    new = tokens(state, "t", count=len(blocks), half=half)
    eot = [place + len(new[0]) for place in eot]
    change = insert(new, beta, blocks)
    return reference.text_forward(case.state(), rows.float(), eot, heads=1, change=change)


def reference_images(state, beta, *, blocks=(1, 2, 3), half=False):
    """The class token's feature and the representation tokens'."""
    own, new = case.state(), tokens(state, "v", count=len(blocks), half=half)
    change = insert(new, beta, blocks)
    last = reference.image_tokens(own, case.pixels(), heads=case.IMAGE_HEADS, change=change)
    last = reference.norm(last, own, "visual.ln_post")
    if "image_encoder.A" in state:
        low_rank = state["image_encoder.A"].float() @ state["image_encoder.B"].float()
        projection = own["visual.proj"] + low_rank
    else:
        projection = state["image_encoder.proj_rep"].float()
    return last[:, 0] @ own["visual.proj"], last[:, 1 : 1 + len(new[0])].mean(dim=1) @ projection


@pytest.mark.parametrize(
    ("make", "trainer", "beta"),
    [(learner_states.mmrl, "MMRL", 1.0), (learner_states.mmrlpp, "MMRLpp", 0.7)],
)
def test_features_are_those_of_the_plain_pass(tmp_path, backbone, make, trainer, beta):
    state = mmrl(make)
    state["prompt_embeddings"] = case.prompts_of("a photo of a", after=", a type of pet.")
    settings = {"BETA": beta, "REP_LAYERS": "[2, 3, 4]", "ALPHA": 0.6}
    run = case.save(tmp_path, state, trainer=trainer, section=trainer, settings=settings)
    text = reference_text(state, case.NAMES, beta)
    plain, own = reference_images(state, beta)
    fused = 0.6 * reference.normalise(plain) + 0.4 * reference.normalise(own)
    digests = set()
    for kind, image in (("class", plain), ("representation", own), ("fused", fused)):
        learner = load_learner(run, backbone=backbone, options=LearnerOptions(image_feature=kind))
        case.matches(learner, text, image)
        digests.add(learner.image_digest)
    assert len(digests) == 3
    learner = load_learner(run, backbone=backbone)
    case.matches(learner, reference_text(state, case.NEW, beta), fused, names=case.NEW)
    assert learner.logit_scale == 100
    with pytest.raises(CheckpointError, match="expected fused, class, representation"):
        load_learner(run, backbone=backbone, options=LearnerOptions(image_feature="both"))


LAYERS = {"TRAINER.MMRL.REP_LAYERS": "[2, 3, 4]", "TRAINER.MMRLpp.REP_LAYERS": "2,3,4"}


def test_the_template_is_read_off_the_file(tmp_path, backbone):
    state = mmrl(learner_states.mmrl)
    state["prompt_embeddings"] = case.prompts_of("a photo of a", after=", a type of pet.")
    run = case.save(tmp_path, state, log=None)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(settings=LAYERS))
    assert learner.classnames is not None
    assert learner.classnames[1] == "grey seal"
    assert case.relative(learner.text_features(case.NEW), reference_text(state, case.NEW, 1)) < 1e-5


def test_an_unknown_beta_is_a_default_with_a_warning(tmp_path, backbone):
    state = mmrl(learner_states.mmrlpp)
    state["prompt_embeddings"] = case.prompts_of("a photo of a", after=", a type of pet.")
    run = case.save(tmp_path, state, log=None)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(settings=LAYERS))
    assert any("default 0.9 is taken" in w for w in learner.description["warnings"])
    assert (
        case.relative(learner.text_features(case.NEW), reference_text(state, case.NEW, 0.9)) < 1e-5
    )


def test_blocks_that_no_log_names_are_asked_for(tmp_path, backbone):
    run = case.save(tmp_path, mmrl(learner_states.mmrl), log=None)
    with pytest.raises(CheckpointError, match=r"which 3 blocks .* --setting TRAINER.MMRL.REP_LAY"):
        load_learner(run, backbone=backbone)


@pytest.mark.parametrize("layers", ["[4, 2, 3]", "[2, 3]", "[2, 3, 3]", "[0, 1, 2]", "two", "[]"])
def test_layers_that_do_not_rise_or_fit_the_file_are_refused(tmp_path, backbone, layers):
    settings = {"REP_LAYERS": layers}
    run = case.save(
        tmp_path, mmrl(learner_states.mmrl), trainer="MMRL", section="MMRL", settings=settings
    )
    with pytest.raises(CheckpointError, match="expected 3 rising numbers from 1 on"):
        load_learner(run, backbone=backbone)
