import pytest

from ncscope.clip import hub
from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo import teacher as module
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.tiny_clip import save_folder
from tests.zoo.learners import case
from tests.zoo.learners.test_promptkd import TWO, WIDE, teacher_state

LOG = {"trainer": "PromptKD", "section": "PROMPTKD"}


def student(folder, **settings):
    state = case.whole(learner_states.promptkd(TWO))
    return case.save(folder, state, settings=settings, **LOG)


@pytest.fixture
def runs(tmp_path):
    """A student, its teacher's prompts without towers, and the folder of the teacher's CLIP."""
    bare = {k: v for k, v in teacher_state().items() if "VPT" in k or "prompt_learner" in k}
    bare = {k: v for k, v in bare.items() if "ZS_image" not in k}
    case.save(tmp_path / "t", teacher_state(), log=None)
    case.save(tmp_path / "bare", bare, log=None)
    return student(tmp_path / "s"), tmp_path, save_folder(tmp_path / "large", config=WIDE)


@pytest.mark.parametrize("kind", ["t", "bare"])
@pytest.mark.parametrize("loaded", [False, True])
def test_the_teachers_backbone_can_be_a_file_or_a_loaded_one(runs, backbone, kind, loaded):
    run, root, folder = runs
    large = load_backbone(folder)
    given = LearnerOptions(teacher=root / kind, teacher_backbone=large if loaded else folder)
    rows = load_learner(run, backbone=backbone, options=given).text_features(case.NEW)
    wanted = load_learner(root / kind, backbone=large).text_features(case.NEW)
    assert rows.shape == (2, 40)
    assert case.relative(rows, wanted) < 1e-6


def test_a_teachers_own_towers_are_used_as_its_authors_do(runs, backbone):
    run, root, folder = runs
    state = teacher_state()
    for key in list(state):
        if "text_projection" in key:
            state[key] = state[key] * 1.001
    case.save(root / "averaged", state, log=None)
    given = LearnerOptions(teacher=root / "averaged", teacher_backbone=folder)
    rows = load_learner(run, backbone=backbone, options=given).text_features(case.NEW)
    plain = load_learner(root / "t", backbone=load_backbone(folder)).text_features(case.NEW)
    assert case.relative(rows, plain * 1.001) < 1e-6


def test_another_backbone_than_the_teachers_is_refused(runs, backbone):
    run, root, _ = runs
    given = LearnerOptions(teacher=root / "t", teacher_backbone=backbone)
    with pytest.raises(CheckpointError, match="another architecture than the backbone"):
        load_learner(run, backbone=backbone, options=given)


def test_a_missing_backbone_is_said_with_the_name_in_the_students_log(runs, backbone, monkeypatch):
    _, root, _ = runs
    run = student(root / "named", TEACHER_NAME="ViT-L/14")

    def load(name, **options):
        raise BackboneError(f"the weights of {name}, {options['pretrained']}, are not here")

    monkeypatch.setattr(module, "load_backbone", load)
    with pytest.raises(BackboneError, match=r"weights of ViT-L/14, openai, .*--teacher-backbone"):
        load_learner(run, backbone=backbone, options=LearnerOptions(teacher=root / "bare"))
    with pytest.raises(BackboneError, match=r"teacher .*bare.*: nothing tells its backbone"):
        load_learner(
            student(root / "un"), backbone=backbone, options=LearnerOptions(teacher=root / "bare")
        )


def test_a_teacher_unlike_the_one_in_the_log_is_warned_of(runs, backbone):
    _, root, folder = runs
    run = student(root / "named", TEACHER_NAME="ViT-L/14")
    given = LearnerOptions(teacher=root / "t", teacher_backbone=folder)
    said = load_learner(run, backbone=backbone, options=given).description["warnings"]
    assert any("text prompts are of 3 blocks; the authors build it with 9" in w for w in said)


def test_a_hub_that_is_out_of_reach_is_asked_once(monkeypatch):
    asked = []

    def lookup(host, _port):
        asked.append(host)
        raise OSError

    for name in hub._PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub.socket, "getaddrinfo", lookup)
    before = hub.constants.HF_HUB_OFFLINE
    with hub.one_attempt():
        assert hub.constants.HF_HUB_OFFLINE
    assert before == hub.constants.HF_HUB_OFFLINE
    assert len(asked) == 1
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    assert hub.reachable("https://nowhere.invalid")
