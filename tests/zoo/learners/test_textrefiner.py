import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.dassl_files import save_dassl
from tests.zoo.learners import case, reference


def test_text_features_are_refined_and_keep_their_lengths(tmp_path, backbone):
    state = case.whole(learner_states.textrefiner(case.SIZES), before="X X X X")
    state["text_encoder.token_embedding.weight"] = case.state()["token_embedding.weight"]
    ids = case.token_ids([f"X X X X {text}" for text in case.sentences(case.NAMES)])
    state["prompt_learner.tokenized_prompts"] = ids
    memory = {k: 20 * v for k, v in learner_states.textrefiner_memory(case.SIZES).items()}
    run = case.save(tmp_path / "run", state, trainer="TextRefiner")
    with pytest.raises(CheckpointError, match="TextRefiner needs its memory, too"):
        load_learner(run, backbone=backbone)
    items = memory.pop("memory_item")
    path = save_dassl(run / "Memory" / "model.pth.tar-50", memory, memory_item=items)
    learner = load_learner(run, backbone=backbone)

    items, weight = items.float(), memory["extractor.weight"].float()
    for names in (case.NAMES, case.NEW):
        plain = reference.normalise(
            case.reference_text(state["prompt_learner.ctx"], "X X X X", names)
        )
        recalled = torch.softmax(plain @ items.T, dim=-1) @ items
        wanted = 0.2 * torch.cat([plain, recalled], dim=1) @ weight.T + plain
        case.matches(learner, wanted, case.reference_image(), names=names)
    assert learner.text_features(case.NAMES).norm(dim=1).std() > 1e-4
    with pytest.raises(CheckpointError, match="this is TextRefiner's memory"):
        load_learner(path, backbone=backbone)
    alone = load_learner(
        run / "prompt_learner", backbone=backbone, options=LearnerOptions(base=path)
    )
    assert case.relative(alone.text_features(case.NAMES), learner.text_features(case.NAMES)) == 0
