import pytest
import torch

from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.zoo.learners import case


@pytest.mark.parametrize("words", [("color",), ("color", "shape"), ("color", "shape", "size")])
def test_attributes_and_their_words_stand_before_the_context(tmp_path, backbone, words):
    state = learner_states.coop_atp(case.SIZES, words=len(words))
    before = " ".join([f"X X {word}" for word in words] + ["X X X X"])
    rows = case.prompts_of(before)
    state["token_prefix"] = rows[:, :1]
    state["token_suffix"] = rows[:, 1 + 3 * len(words) + 4 :]
    parts = []
    for i in range(len(words)):
        state[f"token_middle{i + 1}"] = rows[:, 3 * (i + 1) : 3 * (i + 1) + 1]
        parts += [state[f"ctx_att{i + 1}"], rows[0, 3 * (i + 1) : 3 * (i + 1) + 1]]
    head = torch.cat([*parts, state["ctx"]])
    # the authors ignore CTX_INIT
    run = case.save(tmp_path, state, trainer="CoOp_ATP", settings={"CTX_INIT": "a photo of a big"})
    learner = load_learner(run, backbone=backbone)
    for names in (case.NAMES, case.NEW):
        wanted = case.reference_text(head, before, names)
        case.matches(learner, wanted, case.reference_image(), names=names)
