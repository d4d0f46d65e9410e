"""A prompt is read whole or refused with its class, its length and what would be lost."""

import open_clip
import pytest

from ncscope.checkpoint.inspect import inspect
from ncscope.clip.backbone import load_backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.clip.whole_texts import LongPromptError, WholeTexts
from ncscope.errors import DataError
from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.learner_states import Sizes
from tests.tiny_clip import save_folder
from tests.zoo.learners import case

TOKENIZER = open_clip.SimpleTokenizer(context_length=77)
LONG = " ".join(["word"] * 90) + " ship"


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("clip"), config=case.CONFIG))


def words(count):
    return " ".join(["word"] * count)


@pytest.mark.parametrize("count", [0, 1, 40, 74, 75, 76, 77, 300, 1000])
def test_a_text_is_refused_where_clips_own_rule_refuses_it(count):
    text = words(count)
    needed = len(TOKENIZER.encode(text)) + 2
    if needed <= 77:
        assert WholeTexts(TOKENIZER, 77)([text]).equal(TOKENIZER([text]))
    else:
        with pytest.raises(LongPromptError, match=f"has {needed} tokens"):
            WholeTexts(TOKENIZER, 77)(["cat", text])


def test_what_would_be_lost_is_named():
    with pytest.raises(LongPromptError, match=r"has 78 tokens.*so `ship` would be lost"):
        WholeTexts(TOKENIZER, 77)([f"{words(75)} ship"])
    with pytest.raises(LongPromptError, match=r"reads 77, so `word ship` would be lost"):
        WholeTexts(TOKENIZER, 77)([f"{words(76)} ship"])


def test_zero_shot_refuses_with_the_class(backbone):
    for templates in (("a photo of a {}.",), ("a photo of a {}.", "art of the {}.")):
        with pytest.raises(DataError, match=r"^class `word word .* ship`: .*has 98 tokens"):
            ZeroShot(backbone, templates).text_features(["cat", LONG])


@pytest.mark.parametrize("method", ["CoOp", "KgCoOp", "CoCoOp", "MaPLe", "PromptSRC"])
def test_learners_refuse_with_the_class(method, backbone, tmp_path):
    make = {
        "CoOp": learner_states.coop,
        "KgCoOp": learner_states.kgcoop,
        "CoCoOp": learner_states.cocoop,
        "MaPLe": learner_states.maple,
        "PromptSRC": learner_states.promptsrc,
    }[method]
    state = make(case.SIZES)
    if any(key.startswith("prompt_learner.") for key in state):
        state = case.whole(state, before="X X X X")
    else:
        state = case.prompted(state, "X X X X")
    run = case.save(tmp_path, state, log=None)
    assert inspect(run).method == method
    with pytest.raises(DataError, match=r"class `word word .* ship`: .* would be lost"):
        load_learner(run, backbone=backbone).text_features(["cat", LONG])


def test_the_context_counts(backbone, tmp_path):
    sizes = Sizes(context=72)
    run = case.save(tmp_path, case.prompted(learner_states.coop(sizes), words(72)), log=None)
    learner = load_learner(run, backbone=backbone)
    assert learner.text_features(["cat", "bus"]).shape == (2, 32)
    with pytest.raises(DataError, match=r"class `highway or road`: .*has 78 tokens"):
        learner.text_features(["cat", "highway or road"])
