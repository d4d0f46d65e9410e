import pytest
import torch

from ncscope.clip.backbone import load_backbone
from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.learner_states import Sizes
from tests.tiny_clip import save_folder, tiny_model
from tests.zoo.learners import case, reference
from tests.zoo.learners.test_ivlp import image as prompted_image

TWO = Sizes(context=2)
WIDE = {**case.CONFIG, "embed_dim": 40}


def student(tmp_path):
    state = case.whole(learner_states.promptkd(TWO))
    state["image_encoder.conv1.weight"] = state["image_encoder.conv1.weight"].half()
    return case.save(tmp_path / "student", state, trainer="PromptKD", section="PROMPTKD"), state


def test_image_features_go_through_the_head_and_text_is_the_teachers(tmp_path, backbone):
    run, state = student(tmp_path)

    class Teacher:
        description = {"method": "a teacher"}  # noqa: RUF012

        def text_features(self, names):
            return torch.arange(40.0).expand(len(names), -1)

    learner = load_learner(run, backbone=backbone, options=LearnerOptions(teacher=Teacher()))  # pyright: ignore
    head = {k.removeprefix("VPT_image_trans.conv1."): v.float() for k, v in state.items()}
    inner = prompted_image(state) @ head["0.weight"].flatten(1).T + head["0.bias"]
    inner = (inner - head["1.running_mean"]) / (head["1.running_var"] + 1e-5).sqrt()
    inner = (inner * head["1.weight"] + head["1.bias"]).clamp(min=0)
    wanted = inner @ head["3.weight"].flatten(1).T + head["3.bias"]
    case.matches(learner, torch.arange(40.0).expand(5, -1), wanted)
    assert learner.has_text


def test_without_a_teacher_there_is_no_text_side(tmp_path, backbone):
    learner = load_learner(student(tmp_path)[0], backbone=backbone)
    assert not learner.has_text
    assert learner.image_features(case.pixels()).shape == (3, 40)
    with pytest.raises(CheckpointError, match="no text side; give its teacher's checkpoint"):
        learner.text_features(case.NAMES)


def teacher_state():
    """PromptSRC on a CLIP with wider features."""
    state = learner_states.promptsrc(Sizes(embed=40))
    for key, value in tiny_model(WIDE).state_dict().items():
        name = f"image_encoder.{key[7:]}" if key.startswith("visual.") else f"text_encoder.{key}"
        if name in state:
            state[name] = value
    ids = case.token_ids([f"a photo of a {text}" for text in case.sentences(case.NAMES)])
    rows = tiny_model(WIDE).state_dict()["token_embedding.weight"][ids].half()
    state["prompt_learner.token_prefix"] = rows[:, :1]
    state["prompt_learner.token_suffix"] = rows[:, 5:]
    return state


def test_a_teacher_checkpoint_runs_on_its_own_towers(tmp_path, backbone):
    large = load_backbone(save_folder(tmp_path / "large", config=WIDE))
    run = case.save(tmp_path / "t", teacher_state(), trainer="PromptSRC")
    teacher = load_learner(run, backbone=large)
    learner = load_learner(
        student(tmp_path)[0], backbone=backbone, options=LearnerOptions(teacher=teacher)
    )
    assert case.relative(learner.text_features(case.NAMES), teacher.text_features(case.NAMES)) == 0
    small = load_learner(
        case.save(
            tmp_path / "c",
            case.prompted(learner_states.coop(case.SIZES), "X X X X"),
        ),
        backbone=backbone,
    )
    wrong = load_learner(
        student(tmp_path)[0], backbone=backbone, options=LearnerOptions(teacher=small)
    )
    with pytest.raises(CheckpointError, match="features are 32 wide; the student was taught 40"):
        wrong.text_features(case.NAMES)
    assert reference.normalise(learner.image_features(case.pixels())).shape == (3, 40)
