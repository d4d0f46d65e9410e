import json
import re

import open_clip
import pytest
import torch
from PIL import Image

from ncscope.checkpoint.bare import NOT_LEARNERS
from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.methods import plain_method
from ncscope.clip.prompts import PromptedClip
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo import towers
from ncscope.zoo.learners import LEARNERS, REFUSED
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.learner_states import STATES, Sizes
from tests.new_states import tap_vision
from tests.zoo.learners import case, reference
from tests.zoo.learners.test_maple import sides

TWO = Sizes(context=2)


def maple(tmp_path, **changes):
    state = case.whole(learner_states.maple(TWO), before="a photo of a")
    return case.save(
        tmp_path, {**state, **changes}, log=None, model="MultiModalPromptLearner"
    ), state


def averaged(state):
    """The file's towers as PromptSRC leaves them: off by about 4e-4."""
    generator = torch.Generator().manual_seed(1)
    for key, value in case.towers().items():
        noise = torch.randn(value.shape, generator=generator)
        state[key] = value * (1 + 4e-4 * noise) if value.ndim else value
    return state


def test_any_level_of_the_run_and_an_inspection_give_the_same_learner(tmp_path, backbone):
    run, _ = maple(tmp_path)
    model = run / "MultiModalPromptLearner"
    sources = [model / "model.pth.tar-50", model, run, inspect(run)]
    learners = [load_learner(source, backbone=backbone) for source in sources]
    rows = [learner.text_features(["cat", "bus"]) for learner in learners]
    assert all(torch.equal(each, rows[0]) for each in rows)
    assert len({learner.image_digest for learner in learners}) == 1


def test_a_learner_satisfies_the_protocol_and_follows_the_names_asked_for(tmp_path, backbone):
    learner: PromptedClip = load_learner(maple(tmp_path)[0], backbone=backbone)
    rows = learner.text_features(case.NAMES)
    assert case.relative(learner.text_features(case.NAMES[::-1]), rows.flip(0)) < 1e-6
    assert learner.device.type == "cpu"
    assert learner.preprocess is backbone.preprocess
    assert learner.logit_scale.shape == ()
    assert not rows.requires_grad


def test_many_classes_go_through_in_pieces(tmp_path, backbone, monkeypatch):
    learner = load_learner(maple(tmp_path)[0], backbone=backbone)
    whole = learner.text_features(case.NAMES)
    monkeypatch.setattr("ncscope.zoo.learners.learner.CLASSES_AT_ONCE", 2)
    assert case.relative(learner.text_features(case.NAMES), whole) < 1e-6


def test_towers_that_are_the_backbones_pass_without_a_word(tmp_path, backbone):
    learner = load_learner(maple(tmp_path)[0], backbone=backbone)
    assert not any("towers" in warning for warning in learner.description["warnings"])


def test_averaged_towers_are_told_and_used_if_asked_for(tmp_path, backbone):
    state = averaged(case.whole(learner_states.promptsrc(Sizes()), before="a photo of a"))
    run = case.save(tmp_path, state, log=None, model="VLPromptLearner")
    plain = load_learner(run, backbone=backbone)
    assert any("differ from the backbone's by 4.0e-04" in w for w in plain.description["warnings"])

    own = load_learner(run, backbone=backbone, towers="checkpoint")
    weights = {**case.state()}
    for key, value in state.items():
        if key.startswith("image_encoder.") and "VPT" not in key:
            weights["visual." + key.removeprefix("image_encoder.")] = value
        if key.startswith("text_encoder.") and "VPT" not in key:
            weights[key.removeprefix("text_encoder.")] = value
    names = [f"text_encoder.transformer.resblocks.{i}.VPT_shallow" for i in (1, 2)]
    change = reference.replace_text([state[name].half().float() for name in names])
    rows, eot = case.embedded([f"a photo of a {text}" for text in case.sentences(case.NEW)])
    context = state["prompt_learner.ctx"].float().expand(2, -1, -1)
    rows = torch.cat([rows[:, :1].float(), context, rows[:, 5:].float()], dim=1)
    wanted = reference.text_forward(weights, rows, eot, heads=1, change=change)
    assert case.relative(own.text_features(case.NEW), wanted) < 1e-5
    assert case.relative(plain.text_features(case.NEW), wanted) > 1e-5
    names = [f"image_encoder.transformer.resblocks.{i}.VPT_shallow" for i in (1, 2)]
    change = reference.replace_image([state[name].half().float() for name in names])
    shallow = state["image_encoder.VPT"].half().float()
    image = reference.image_forward(
        weights, case.pixels(), heads=2, appended=shallow, change=change
    )
    assert case.relative(own.image_features(case.pixels()), image) < 1e-5
    assert own.image_digest != plain.image_digest
    assert torch.equal(backbone.model.state_dict()["visual.proj"], case.state()["visual.proj"])


def test_towers_of_another_model_are_refused(tmp_path, backbone):
    other = {k: 2 * v for k, v in case.towers().items() if k.endswith("mlp.c_fc.weight")}
    run, _ = maple(tmp_path, **other)
    with pytest.raises(CheckpointError, match=r"not those of the backbone .*--backbone checkpoint"):
        load_learner(run, backbone=backbone)


def test_a_whole_model_needs_no_backbone_for_its_training_classes(tmp_path):
    run, state = maple(tmp_path)
    learner = load_learner(run, options=LearnerOptions(classnames=case.NAMES))
    case.matches(learner, *sides(state, "a photo of a"))
    order = ("oak tree", "cat")
    assert (
        case.relative(learner.text_features(order), sides(state, "a photo of a")[0][[2, 0]]) < 1e-5
    )
    assert learner.description["backbone"]["name"] == "checkpoint"
    with pytest.raises(CheckpointError, match="no text features for 'bus'"):
        learner.text_features(["bus"])
    unnamed = load_learner(run)
    with pytest.raises(CheckpointError, match=r"5 class names .*--classnames FILE"):
        unnamed.text_features(["cat"])


def test_a_file_with_a_vocabulary_needs_no_backbone_at_all(tmp_path):
    state = case.whole(learner_states.coprompt(TWO), before="a photo of a")
    state["model_distill.token_embedding.weight"] = case.state()["token_embedding.weight"]
    run = case.save(tmp_path, state, log=None)
    learner = load_learner(run)
    assert learner.classnames is not None
    assert learner.classnames[0] == "cat"
    assert learner.text_features(["bus"]).shape == (1, 32)


def test_written_prompts_without_a_vocabulary_are_refused(tmp_path):
    run = case.save(tmp_path, case.whole(learner_states.vpt(TWO)), log=None)
    with pytest.raises(CheckpointError, match="the file has no vocabulary; name its backbone"):
        load_learner(run)


def test_the_logged_backbone_is_loaded_with_the_files_towers(tmp_path, backbone, monkeypatch):
    asked = []

    def load(name, **options):
        asked.append((name, options["pretrained"]))
        return backbone

    monkeypatch.setattr(towers, "load_backbone", load)
    state = averaged(case.whole(learner_states.maple(TWO), before="a photo of a"))
    run = case.save(tmp_path, state, trainer="MaPLe", section="MAPLE", backbone="ViT-L/14@336px")
    learner = load_learner(run)
    assert asked == [("ViT-L/14-336", "openai")]
    assert str(run) in learner.description["backbone"]["weights"]
    assert learner.text_features(["bus"]).shape == (1, 32)


def test_nothing_that_tells_the_backbone_is_an_error_that_names_the_option(tmp_path):
    state = learner_states.coop(Sizes(text=512))
    with pytest.raises(BackboneError, match=r"shapes fit ViT-B/16, ViT-B/32, .*--backbone ViT"):
        load_learner(case.save(tmp_path, state, log=None))
    with pytest.raises(CheckpointError, match="holds no towers"):
        load_learner(tmp_path, towers="checkpoint")
    with pytest.raises(CheckpointError, match="`towers` is 'mine'; expected auto, backbone"):
        load_learner(tmp_path, towers="mine")


def test_unknown_files_and_what_is_no_learner_are_refused(tmp_path, backbone):
    run = case.save(tmp_path / "a", {"ctxx": torch.zeros(4, 64)}, log=None)
    with pytest.raises(CheckpointError, match=r"no known prompt learner; nearest is CoOp, which"):
        load_learner(run, backbone=backbone)
    run = case.save(tmp_path / "d", {"foo.weight": torch.zeros(4, 64)}, log=None)
    with pytest.raises(CheckpointError, match=r"fit no known prompt learner; none is one's; `ncs"):
        load_learner(run, backbone=backbone)
    run = case.save(tmp_path / "b", learner_states.clip_backbone(case.SIZES), log=None)
    with pytest.raises(CheckpointError, match="give it as --backbone"):
        load_learner(run, backbone=backbone)
    run = case.save(tmp_path / "c", tap_vision(case.SIZES), log=None)
    with pytest.raises(CheckpointError, match="TAP is recognised but gives no features: its"):
        load_learner(run, backbone=backbone)


def test_every_recognised_method_is_loaded_or_refused_with_a_reason():
    methods = {"DePT" if name.startswith("DePT") else plain_method(name) for name in STATES}
    assert methods <= LEARNERS.keys() | REFUSED.keys() | NOT_LEARNERS.keys()
    assert not LEARNERS.keys() & REFUSED.keys()


def test_the_transform_in_the_log_is_used_and_an_option_overrules_it(tmp_path, backbone):
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    run = case.save(tmp_path, state, squash=True)
    squashed = load_learner(run, backbone=backbone)
    wide = Image.new("RGB", (64, 32))
    wide.paste((255, 255, 255), (0, 0, 8, 32))  # a stripe that the centre crop cuts off
    assert backbone.preprocess(wide).std() < 0.2 < squashed.preprocess(wide).std()
    assert squashed.image_digest != backbone.image_digest
    assert squashed.description["settings_from"]["transform"] == "log.txt"
    current = load_learner(run, backbone=backbone, options=LearnerOptions(transform="current"))
    assert torch.equal(current.preprocess(wide), backbone.preprocess(wide))
    with pytest.raises(CheckpointError, match="`transform` is 'crop'; expected current or squash"):
        load_learner(run, backbone=backbone, options=LearnerOptions(transform="crop"))


@pytest.mark.parametrize(
    ("line", "changes", "said"),
    [
        ("INTERPOLATION: bilinear", {"interpolation": "bilinear"}, "INTERPOLATION is bilinear in"),
        (
            "PIXEL_MEAN: [0.485, 0.456, 0.406]\n  PIXEL_STD: [0.229, 0.224, 0.225]",
            {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
            "PIXEL_MEAN is [0.485, 0.456, 0.406] in log.txt: images are made so",
        ),
        (
            "TRANSFORMS: ('random_flip',)",
            {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
            "TRANSFORMS is ('random_flip',) in log.txt: images are made so",
        ),
        ("INTERPOLATION: nearest", {}, "nearest in log.txt, which is not done here: bicubic is"),
        ("INTERPOLATION: bicubic\n  PIXEL_MEAN: [0.48145466, 0.4578275, 0.40821073]", {}, None),
    ],
)
def test_images_are_made_as_the_log_says_and_it_is_said(tmp_path, backbone, line, changes, said):
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    run = case.save(tmp_path, state)
    text = (run / "log.txt").read_text()
    named = re.findall(r"([A-Z_]+):", line)
    lines = text.split("\n")
    kept = "\n".join(one for one in lines if one.split(":")[0].strip() not in named)
    (run / "log.txt").write_text(kept.replace("\nINPUT:\n", f"\nINPUT:\n  {line}\n"))
    learner = load_learner(run, backbone=backbone)
    settings = {**backbone.description["preprocess"], **changes}
    assert learner.backbone.description["preprocess"] == settings
    picture = Image.linear_gradient("L").resize((70, 50)).convert("RGB")
    fast, own = learner.preprocess(picture), open_clip.transform
    slow = own.image_transform_v2(own.PreprocessCfg(**settings), is_train=False)(picture)
    assert (fast - slow).abs().max() < 0.02
    assert (learner.image_digest != backbone.image_digest) == bool(changes)
    found = [text for text in learner.description["warnings"] if "INPUT." in text]
    assert bool(found) == (said is not None)
    assert said is None or any(said in text for text in found)


def test_what_the_log_says_of_the_run_is_kept(tmp_path, backbone):
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    learner = load_learner(case.save(tmp_path, state, accuracy=91.5, seed=3), backbone=backbone)
    assert learner.description["run"]["accuracy"] == 91.5
    assert learner.description["run"]["seed"] == 3
    assert learner.description["run"]["epoch"] == 50
    assert json.dumps(learner.description)
