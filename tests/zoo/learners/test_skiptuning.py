import pytest

from ncscope.clip.backbone import load_backbone
from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.tiny_clip import save_folder, tiny_model
from tests.zoo.learners import case, new_runs, reference


def plain(names, template, *, seed, tower="both"):
    """Text and image features of the small CLIP of that seed, or of one tower of it."""
    other = dict(tiny_model(case.CONFIG, seed=seed).state_dict())
    image = tower in ("both", "image")
    state = {
        k: other[k] if k.startswith("visual.") == image or tower == "both" else v
        for k, v in case.state().items()
    }
    ids = case.token_ids([template.replace("{}", text) for text in case.sentences(names, "")])
    rows, eot = state["token_embedding.weight"][ids], ids.argmax(dim=1).tolist()
    text = reference.text_forward(state, rows, eot, heads=case.TEXT_HEADS)
    return text, reference.image_forward(state, case.pixels(), heads=case.IMAGE_HEADS)


@pytest.mark.parametrize(
    ("data", "template"),
    [
        ("OxfordPets", "a bad photo of a {}, a type of pet."),
        ("DescribableTextures", "itap of a {}."),
        ("ImageNetR", "a rendition of a {}."),
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_features_are_the_tuned_towers_with_their_own_template(
    tmp_path, backbone, data, template, given
):
    run = new_runs.skiptuning(tmp_path, dataset=data)
    learner = load_learner(run, backbone=backbone if given else None)
    for names in (case.NAMES, case.NEW):
        case.matches(learner, *plain(names, template, seed=3), names=names)
    if given:
        assert learner.image_digest != backbone.image_digest


def test_the_target_data_sets_template_beats_the_runs(tmp_path, backbone):
    run = new_runs.skiptuning(tmp_path, dataset="OxfordPets")
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(data_name="food101"))
    wanted = plain(case.NAMES, "a photo of the nice {}.", seed=3)
    case.matches(learner, *wanted)


def test_without_a_data_set_it_asks_for_one(tmp_path, backbone):
    run = new_runs.skiptuning(tmp_path, log=None)
    with pytest.raises(CheckpointError, match=r"give --data-name \(Caltech101, .*or --template"):
        load_learner(run, backbone=backbone)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_one_tuned_tower_goes_with_the_others_of_the_backbone(tmp_path, backbone, tower):
    run = new_runs.finetune(tmp_path, towers=(tower,))
    learner = load_learner(run, backbone=backbone)
    assert learner.description["method"] in ("FinetuneCLIP", "SkipTuning")
    wanted = plain(case.NAMES, "a bad photo of a {}, a type of pet.", seed=3, tower=tower)
    case.matches(learner, *wanted)


def test_another_backbone_than_the_files_is_refused(tmp_path):
    wide = load_backbone(save_folder(tmp_path / "wide", config={**case.CONFIG, "embed_dim": 40}))
    run = new_runs.skiptuning(tmp_path / "run")
    with pytest.raises(CheckpointError, match="another architecture than the backbone"):
        load_learner(run, backbone=wide)
