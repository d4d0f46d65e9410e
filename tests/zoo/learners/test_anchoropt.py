import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.dassl_files import save_dassl
from tests.zoo.learners import case


def test_the_likeliest_order_is_read_where_the_authors_read_it(tmp_path, backbone):
    anchor = learner_states.anchoropt_anchor(case.SIZES)
    state = case.prompted(learner_states.anchoropt_normal(case.SIZES), "X X X X")
    state["token_suffix"] = state["token_suffix"][:, :-1]
    run = case.save(
        tmp_path / "run", state, trainer="CoOp_AnchorOPT", model="normal_prompt_learner"
    )
    with pytest.raises(CheckpointError, match="AnchorOPT needs its anchor, too"):
        load_learner(run, backbone=backbone)
    save_dassl(run / "anchor_prompt_learner" / "model.pth.tar", anchor)
    learner = load_learner(run, backbone=backbone)

    pool = torch.cat([state["ctx"], anchor["anchor_ctx_1"]])
    head = torch.stack([pool[int(row.argmax())] for row in state["ctx_pos_params"]])
    for names in (case.NAMES, case.NEW):
        # five tokens where the authors' token ids have four: end-of-text lies one further on
        wanted = case.reference_text(head, "X X X X X", names, early=1)
        case.matches(learner, wanted, case.reference_image(), names=names)
    assert any("draws one at random" in w for w in learner.description["warnings"])


def test_the_anchor_alone_is_a_prompt_with_the_word_of(tmp_path, backbone):
    state = learner_states.anchoropt_anchor(case.SIZES)
    rows = case.prompts_of("X of")
    state |= {"token_prefix": rows[:, :1], "token_of": rows[:, 2:3], "token_suffix": rows[:, 3:]}
    run = case.save(tmp_path, state, model="anchor_prompt_learner", log=None)
    learner = load_learner(run, backbone=backbone)
    case.matches(
        learner, case.reference_text(state["anchor_ctx_1"], "X of"), case.reference_image()
    )
