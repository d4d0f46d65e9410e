import pytest
import torch

from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import new_states
from tests.tiny_clip import save_folder
from tests.zoo.learners import case, new_runs, reference

TALL = {
    **case.CONFIG,
    "vision_cfg": {**case.CONFIG["vision_cfg"], "layers": 10},
    "text_cfg": {**case.CONFIG["text_cfg"], "layers": 10},
}
LISTS = {13: [3], 12: [1], 8: [3, 6, 9], 10: [4, 8], 0: [8]}


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tall"), config=TALL))


def net(state, name, features):
    float_state = {key: value.float() for key, value in state.items()}
    hidden = reference.linear(reference.normalise(features), float_state, f"{name}.linear1")
    return reference.linear(hidden * torch.sigmoid(1.702 * hidden), float_state, f"{name}.linear2")


def text(state, names, config, blocks, share, template="a photo of a {}, a type of pet.",
         dtype=torch.float16):  # fmt: skip
    rows, eot = case.embedded(
        [template.replace("{}", name) for name in case.sentences(names, "")],
        dtype=torch.float32,
        config=config,
    )
    plain = reference.text_forward(case.state(config), rows, eot, heads=1)
    count = len(state["ctx"])
    own = net(state, "meta_net", plain).reshape(len(names), count, -1)

    def change(when, i, x, _x_in):
        if when == "before" and i in blocks:
            x = x.clone()
            for k in range(len(names)):
                x[1 : 1 + count, k] = share * own[k] + (1 - share) * x[1 : 1 + count, k]
        return x

    written, ends = case.embedded(
        [f"X X X X {name}" for name in case.sentences(names)], dtype=dtype, config=config
    )
    head = state["ctx"].float().expand(len(names), -1, -1)
    written = torch.cat([written[:, :1].float(), head, written[:, 1 + count :].float()], dim=1)
    prompted = reference.text_forward(case.state(config), written, ends, heads=1, change=change)
    return reference.normalise(prompted) + reference.normalise(plain)


def image(state, config, blocks, share):
    weights, count = case.state(config), len(state["ctx_visual"])
    plain = reference.image_forward(weights, case.pixels(), heads=2)
    own = [net(state, f"meta_vises.{j}", plain) for j in range(len(blocks))]

    def change(when, i, x, _x_in):
        if when == "before" and i in blocks:
            new = own[blocks.index(i)].reshape(x.shape[1], count, -1).permute(1, 0, 2)
            x = torch.cat([x[:-count], share * new + (1 - share) * x[-count:]])
        return x

    prompted = reference.image_forward(
        weights, case.pixels(), heads=2, appended=state["ctx_visual"].float(), change=change
    )
    return reference.normalise(prompted) + reference.normalise(plain)


def prompted(state, config):
    rows, _ = case.embedded(
        [f"X X X X {text}" for text in case.sentences(case.NAMES)], config=config
    )
    return {**state, "token_prefix": rows[:, :1], "token_suffix": rows[:, 5:]}


def saved(folder, config=case.CONFIG, **settings):
    state = prompted(new_states.bip(case.SIZES), config)
    return state, case.save(folder, state, trainer="BIP", settings=settings)


@pytest.mark.parametrize(
    ("text_list", "image_list", "text_share", "image_share"),
    [(13, 13, 1.0, 0.75), (12, 12, 0.5, 1.0), (8, 10, 0.5, 0.5), (10, 0, 1.0, 0.25)],
)
def test_features_are_those_of_the_plain_pass(
    tmp_path, tall, backbone, text_list, image_list, text_share, image_share
):
    deep = max(LISTS[text_list] + LISTS[image_list]) > 3
    clip, config = (tall, TALL) if deep else (backbone, case.CONFIG)
    state, run = saved(
        tmp_path, config, TL=text_list, VL=image_list, TFW=text_share, VFW=image_share
    )
    learner = load_learner(run, backbone=clip)
    assert learner.description["method"] == "BIP"
    for names in (case.NAMES, case.NEW):
        wanted = text(state, names, config, LISTS[text_list], text_share)
        case.matches(
            learner, wanted, image(state, config, LISTS[image_list], image_share), names=names
        )


@pytest.mark.parametrize("key", ["TL", "VL", "TFW", "VFW"])
def test_every_setting_changes_the_features(tmp_path, backbone, key):
    plain = load_learner(new_runs.bip(tmp_path / "a"), backbone=backbone)
    moved = {**new_runs.BLOCKS, key: 12 if key.endswith("L") else 0.1}
    other = load_learner(new_runs.bip(tmp_path / "b", settings=moved), backbone=backbone)
    sides = [case.relative(getattr(other, s)(x), getattr(plain, s)(x)) for s, x in
             (("text_features", case.NAMES), ("image_features", case.pixels()))]  # fmt: skip
    assert sides[key.startswith("V")] > 1e-4
    assert sides[not key.startswith("V")] == 0
    assert (other.image_digest != plain.image_digest) == key.startswith("V")


def test_without_a_log_each_setting_is_asked_for_by_name_and_can_be_given(tmp_path, backbone):
    run = new_runs.bip(tmp_path / "a", log=None)
    given = {f"TRAINER.COOP.{key}": str(value) for key, value in new_runs.BLOCKS.items()}
    for name in given:
        others = {other: value for other, value in given.items() if other != name}
        told = LearnerOptions(data_name="OxfordPets", settings=others)
        with pytest.raises(CheckpointError, match=rf"no log.txt that says {name}; give it: --set"):
            load_learner(run, backbone=backbone, options=told)
    told = LearnerOptions(data_name="OxfordPets", settings=given)
    learner = load_learner(run, backbone=backbone, options=told)
    logged = load_learner(new_runs.bip(tmp_path / "b"), backbone=backbone)
    assert case.relative(learner.text_features(case.NEW), logged.text_features(case.NEW)) == 0
    with pytest.raises(CheckpointError, match=r"data set, which the file does not tell; give --da"):
        load_learner(run, backbone=backbone, options=LearnerOptions(settings=given))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TL": 23}, r"TRAINER.COOP.TL is '23'; expected a whole number in 0\.\.22"),
        ({"TL": 1.5}, "TL is '1.5'; expected a whole number"),
        ({"VFW": "much"}, "VFW is 'much'; expected a number"),
        ({"VFW": "nan"}, "VFW is 'nan'; expected a number"),
    ],
)
def test_settings_of_no_kind_are_refused(tmp_path, backbone, settings, message):
    run = new_runs.bip(tmp_path, settings={**new_runs.BLOCKS, **settings})
    with pytest.raises(CheckpointError, match=message):
        load_learner(run, backbone=backbone)


def test_a_list_of_blocks_that_the_file_or_the_tower_has_not_is_refused(tmp_path, backbone, tall):
    run = new_runs.bip(tmp_path / "a", settings={**new_runs.BLOCKS, "TL": 0})
    with pytest.raises(BackboneError, match="before block 8, but the backbone's text tower has 4"):
        load_learner(run, backbone=backbone)
    state = new_states.bip(case.SIZES)
    short = {k: v for k, v in state.items() if "meta_vises.1" not in k}
    run = case.save(
        tmp_path / "c", prompted(short, TALL), trainer="BIP",
        settings={**new_runs.BLOCKS, "VL": 10},
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"no `meta_vises.1.\*`, but TRAINER.COOP.VL names 2"):
        load_learner(run, backbone=tall)
