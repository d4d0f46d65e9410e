"""The self-check judges a run by the method's own rule, or says why it does not."""

import pytest
import torch

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.methods import ROWS
from ncscope.zoo.decision import dept_logits, rule_facts
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states as states
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS

SHARE = 0.7
PROBE = """  FILM:
    LINEAR_PROBE: True
  LINEAR_PROBE:
    TEST_TIME_FUSION: {fusion}
    TYPE: {kind}
    WEIGHT: 0.7
  CDAC:"""


def dept(folder, *, fusion=True, kind="linear", **log):
    state = case.whole(states.dept(case.SIZES), before="X X X X")
    state["linear_probe_proj.weight"] = 50 * state["linear_probe_proj.weight"]
    said = {"subsample": "base", "trainer": "ExtrasLinearProbeCoOp", "classes": 5, **log}
    run = case.save(folder, state, **said)
    text = (run / "log.txt").read_text()
    (run / "log.txt").write_text(text.replace("  CDAC:", PROBE.format(fusion=fusion, kind=kind)))
    return run, state


def slow_logits(image, text, state, share, scale):
    """One image and one class at a time, by the method's description."""
    rows = []
    for f in image:
        moved = state["film_lp_img.scale"].float() * f + state["film_lp_img.bias"].float()
        row = []
        for k in range(len(text)):
            cosine = torch.dot(f, text[k]) / f.norm() / text[k].norm()
            probe = torch.dot(state["linear_probe_proj.weight"][k].float(), moved)
            probe = probe + state["linear_probe_proj.bias"][k].float()
            row.append((1 - share) * scale * cosine + share * probe)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def test_depts_logits_are_those_of_its_description():
    state = states.dept(case.SIZES)
    generator = torch.Generator().manual_seed(0)
    image, text = (torch.randn(n, case.SIZES.embed, generator=generator) for n in (4, 5))
    got = dept_logits(image, text, state, share=SHARE, scale=100.0)
    torch.testing.assert_close(got, slow_logits(image, text, state, SHARE, 100.0))


@pytest.mark.parametrize(("fusion", "share"), [(True, 0.7), (False, 1.0)])
def test_depts_accuracy_is_by_its_own_rule(backbone, tmp_path, fusion, share):
    run, state = dept(tmp_path, fusion=fusion)
    learner = load_learner(run, backbone=backbone)
    image = learner.image_features(case.pixels(60))
    text = learner.text_features(case.NAMES)
    logits = slow_logits(image, text, state, share, float(learner.logit_scale))
    label = logits.argmax(dim=1)
    cosine = (image @ torch.nn.functional.normalize(text, dim=1).T).argmax(dim=1)
    assert (cosine != label).any()  # so that the two rules are told apart
    label[:15] = (label[:15] + 1) % 5
    assert learner.by_rule is not None
    found = learner.by_rule(case.NAMES, image, text, label)
    assert found is not None
    assert found["accuracy"] == pytest.approx(75)
    assert learner.by_rule(("cat", "bus"), image, text[:2], label) is None


def test_where_the_probe_is_of_another_kind_nothing_is_compared(backbone, tmp_path):
    run, _ = dept(tmp_path, kind="similarity")
    learner = load_learner(run, backbone=backbone)
    image, text = learner.image_features(case.pixels()), learner.text_features(case.NAMES)
    assert learner.by_rule is not None
    assert learner.by_rule(case.NAMES, image, text, torch.zeros(3, dtype=torch.long)) is None
    assert "linear probe" in learner.description["run"]["not_by_cosine"]


def test_textrefiners_accuracy_counts_the_lengths_of_its_text_features(backbone, tmp_path):
    learner = load_learner(RUNS["TextRefiner"](tmp_path), backbone=backbone)
    text = learner.text_features(case.NAMES) * torch.tensor([[1.0], [1.2], [0.7], [1.0], [1.1]])
    image = learner.image_features(case.pixels(60))
    logits = [[float(torch.dot(f, t) / f.norm()) for t in text] for f in image]
    label = torch.tensor([row.index(max(row)) for row in logits])
    cosine = (image @ torch.nn.functional.normalize(text, dim=1).T).argmax(dim=1)
    assert (cosine != label).any()  # so that the two rules are told apart
    label[:15] = (label[:15] + 1) % 5
    assert learner.by_rule is not None
    assert learner.by_rule(case.NAMES, image, text, label)["accuracy"] == pytest.approx(75)  # pyright: ignore


def test_on_new_classes_dept_decides_by_the_cosine(backbone, tmp_path):
    run, _ = dept(tmp_path, subsample="new")
    learner = load_learner(run, backbone=backbone)
    assert "not_by_cosine" not in learner.description["run"]


@pytest.mark.parametrize(
    ("task", "data", "subsample", "feature"),
    [
        ("B2N", "OxfordPets", "base", "fused"),
        ("B2N", "OxfordPets", "new", "class"),
        ("B2N", "OxfordPets", "all", "class"),
        ("FS", "OxfordPets", "all", "fused"),
        ("CD", "ImageNet", "all", "fused"),
        ("CD", "ImageNetV2", "all", "class"),
    ],
)
def test_mmrls_image_feature_is_its_tasks(tmp_path, task, data, subsample, feature):
    run = RUNS["MMRL"](tmp_path)
    text = (run / "log.txt").read_text().replace("USE_CUDA", f"TASK: {task}\nUSE_CUDA")
    text = text.replace("SUBSAMPLE_CLASSES: base", f"SUBSAMPLE_CLASSES: {subsample}")
    (run / "log.txt").write_text(text.replace("OxfordPets", data))
    assert rule_facts(inspect(run), LearnerOptions()) == {"image_feature": feature}


@pytest.mark.parametrize("method", ["PLOT", "PLOT++", "Tip-Adapter", "Tip-Adapter-F"])
def test_rules_that_no_file_holds_are_named(tmp_path, method):
    facts = rule_facts(inspect(RUNS[method](tmp_path)), LearnerOptions())
    assert facts["not_by_cosine"].startswith("it decides by")


def test_cocoop_is_compared_per_image_only(tmp_path):
    seen = inspect(RUNS["CoCoOp"](tmp_path))
    assert "--condition per-image" in rule_facts(seen, LearnerOptions())["not_by_cosine"]
    assert rule_facts(seen, LearnerOptions(condition="per-image")) == {}


def test_the_cosine_is_the_rule_of_all_others(tmp_path):
    others = [row.name for row in ROWS if row.text and not row.not_by_cosine and not row.rule]
    assert len(others) > 15
    for method in others:
        if method != "DePT":
            assert rule_facts(inspect(RUNS[method](tmp_path / method)), LearnerOptions()) == {}
