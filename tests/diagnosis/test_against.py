"""Differences from a reference: paired intervals, whatever order the classes come in."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalMemberAccess=false

from dataclasses import replace

import pytest
import torch

from ncscope import analyze
from ncscope.diagnosis.against import decided
from tests.features.test_aligned import shuffled
from tests.made_features import noisy


@pytest.fixture(scope="module")
def pair():
    """A run and one of the same images whose text is worse."""
    one = noisy(noise=1.0, each=30)
    noise = 2.5 * torch.randn(6, 16, generator=torch.Generator().manual_seed(5))
    other = replace(one, text=one.text + noise, provenance={"source": "worse", "data": "made here"})
    return one, other


def values_of(*sources, place=1, **options):
    return analyze(*sources, **options).records[place]["against"]


def test_differences_are_those_of_the_summaries(pair):
    report = analyze(*pair, bootstrap=60)
    first, second = report.records
    found = second["against"]
    assert "against" not in first
    assert found["reference"] == "noisy"
    assert found["paired"]
    for path, value in found["values"].items():
        now, then = second["summary"], first["summary"]
        for key in path.split("."):
            now, then = now[key], then[key]
        assert value["difference"] == pytest.approx(now - then)
        for ends in (value["images"], value["classes"]):
            assert ends is None or ends[0] <= value["difference"] <= ends[1], path


def test_the_order_of_classes_changes_nothing(pair):
    plain = values_of(*pair, bootstrap=60)
    turned = values_of(pair[0], shuffled(pair[1]), bootstrap=60)
    for path, value in plain["values"].items():
        for key in ("images", "classes"):
            assert turned["values"][path][key] == pytest.approx(value[key], abs=1e-6), path


def test_a_run_does_not_differ_from_itself(pair):
    found = values_of(pair[0], replace(pair[0]), bootstrap=60)
    for path, value in found["values"].items():
        assert value["difference"] == 0
        assert not decided(value), path


def test_pairing_makes_the_interval_narrower_than_two_of_one_run(pair):
    report = analyze(*pair, bootstrap=200)
    path, name = "delta_mid.centred", "delta_mid/cosine/centred"
    low, high = report.records[1]["against"]["values"][path]["images"]
    spans = [r["intervals"]["values"][name] for r in report.records]
    alone = sum((span["high"] - span["low"]) ** 2 for span in spans) ** 0.5
    assert high - low < alone


@pytest.mark.slow
def test_a_paired_interval_holds_the_difference_nine_times_in_ten():
    """Over fresh images: the true difference of two fixed texts, in 15 draws of the images."""
    one = noisy(noise=1.0, each=400, seed=7)
    worse = one.text + 2.0 * torch.randn(6, 16, generator=torch.Generator().manual_seed(5))
    unit = torch.nn.functional.normalize

    def hits(text, rows, label):
        return ((unit(rows) @ unit(text).T).argmax(dim=1) == label).float().mean()

    truth = float(hits(worse, one.image, one.label) - hits(one.text, one.image, one.label))
    held = 0
    for seed in range(15):
        kept = torch.randperm(2400, generator=torch.Generator().manual_seed(seed))[:240]
        few = replace(one, image=one.image[kept], label=one.label[kept])
        low, high = values_of(few, replace(few, text=worse), bootstrap=60)["values"][
            "accuracy.class_mean"
        ]["images"]
        held += low <= truth <= high
    assert held >= 12


def test_other_images_are_compared_without_pairing(pair):
    fewer = replace(pair[1], image=pair[1].image[:-3], label=pair[1].label[:-3])
    found = values_of(pair[0], fewer, bootstrap=60)
    assert not found["paired"]
    assert all(value["images"] is None for value in found["values"].values())
    assert found["values"]["delta_mid.centred"]["classes"] is not None


def test_runs_of_other_classes_are_compared_on_the_common_ones(pair):
    one, other = pair
    part = replace(
        other,
        label=(other.label - 2).clamp_min(-1),
        text=other.text[2:],
        classnames=other.classnames[2:],
    )
    report = analyze(one, part, bootstrap=60)
    found = report.records[1]["against"]
    assert (found["classes"], found["of"]) == (4, [4, 6])
    assert any("on the 4 classes both have" in warning for warning in report.records[1]["warnings"])
    assert "on the 4 classes both have" in report.verdict()[0]
    alien = replace(other, classnames=tuple("uvwxyz"))
    warned = analyze(one, alien, bootstrap=0).records[1]
    assert "against" not in warned
    assert "not compared with noisy: 0 classes in common" in warned["warnings"]


def test_the_reference_is_zero_shot_wherever_it_stands(pair):
    zero = replace(pair[0], provenance={"source": "zero-shot"})
    report = analyze(pair[1], zero, bootstrap=0)
    assert report.records[0]["against"]["reference"] == "zero-shot"
    assert "against" not in report.records[1]


def test_one_run_stands_beside_its_frozen_text(pair):
    one, other = pair
    record = analyze(replace(other, text_frozen=one.text), bootstrap=60).records[0]
    plain = values_of(*pair, bootstrap=60)
    assert record["against"]["reference"] == "its frozen text"
    assert record["against"]["values"] == plain["values"]
    assert "against" not in analyze(replace(one, text_frozen=one.text), bootstrap=0).records[0]


def test_differences_stand_in_every_file_and_on_the_page(pair, tmp_path):
    report = analyze(*pair, bootstrap=60)
    report.save(tmp_path, thumbnails=False)
    assert "difference over images,,accuracy.top1," in (tmp_path / "metrics.csv").read_text()
    html = (tmp_path / "report.html").read_text()
    assert "below them the difference from" in html
    assert '<table class="against">' in html
