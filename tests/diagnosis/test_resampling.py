"""Replicates by weights against replicates by gathered rows, measure by measure."""

import itertools
from dataclasses import replace

import pytest
import torch

import ncscope.metrics as metrics
from ncscope.diagnosis.intervals import intervals
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.prepare import prepare
from ncscope.diagnosis.redecided import clear_of, redecided
from ncscope.diagnosis.redrawn import NAMES
from ncscope.diagnosis.resampling import fixed_of, group_size, replicates_of
from ncscope.diagnosis.sides import image_side, numbers_of
from ncscope.diagnosis.sweeps import in_steps
from ncscope.features.bundle import Features
from tests.made_features import collapsed, named

REPLICATES, SEED = 12, 3


def made(
    counts, width=16, *, noise=1.5, scale: float | None = 20.0, text=True, dtype=torch.float64
):
    """Shuffled images around random means, a tenth of them unlabelled."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    size = len(counts)
    means = normal(size, width)
    label = torch.arange(size).repeat_interleave(torch.tensor(counts))
    label = label[torch.randperm(len(label), generator=generator)]
    image = means[label] + noise * normal(len(label), width)
    label = label.masked_fill(torch.rand(len(label), generator=generator) < 0.1, -1)
    return Features(
        image=image.to(dtype),
        label=label,
        text=(3 * means + noise * normal(size, width) + 1).to(dtype) if text else None,
        classnames=named(size),
        logit_scale=None if scale is None else torch.tensor(scale, dtype=dtype),
    )


CASES = {
    "balanced": made([12] * 6),
    "long tail, one class of one": made([40, 20, 10, 5, 2, 1]),
    "more classes than dimensions": made([9] * 20, 12),
    "a class without images": made([12, 12, 0, 12, 12]),
    "no scale": made([12] * 6, scale=None),
    "images alone": made([12] * 6, text=False),
}


def of_gathered_rows(features: Features, index: torch.Tensor) -> dict[str, float]:
    """The same numbers from the rows that were drawn, by the public functions."""
    assert features.image is not None
    assert features.label is not None
    rows = metrics.normalise_rows(features.image)[index]
    label, size = features.label[index], len(features.classnames)
    moments = metrics.class_moments(rows, label, size)
    means = moments.means[moments.present]
    found = {
        "nc1/default": metrics.nc1(rows, label, size),
        "cdnv": metrics.cdnv(moments),
        "etf_distance/image/raw": metrics.etf_distance(means),
        "etf_distance/image/centred": metrics.etf_distance(means, centred=True),
    }
    if features.text is not None:
        text = metrics.normalise_rows(features.text)
        seen = text[moments.present]
        logits = rows @ text.T * (1 if features.logit_scale is None else features.logit_scale)
        hits = logits.argmax(dim=1) == label
        among = moments.present[logits[:, moments.present].argmax(dim=1)]
        nearest = moments.present[torch.cdist(rows, means).argmin(dim=1)]
        found |= {
            "accuracy/top1": hits.double().mean(),
            "accuracy/class_mean": metrics.class_mean_accuracy(logits, label),
            "nc4": (among == nearest).double().mean(),
            "modality_gap": metrics.modality_gap(means, seen),
            "nc3/centred": metrics.self_duality(means, seen, centred=True),
        }
        for form, centred in (("raw", False), ("centred", True)):
            found[f"etf_distance/cross/{form}"] = metrics.cross_etf_distance(
                image_means=means, text=seen, center="both" if centred else "none"
            )
            mid = metrics.delta_mid(means, seen, centred=centred)
            found[f"delta_mid/cosine/{form}"] = mid
        if features.logit_scale is not None:
            found["accuracy/ece"] = metrics.ece(logits, label)
    return {name: float(value) for name, value in found.items()}


def sides_of(features: Features):
    prepared = prepare(features)
    side = image_side(prepared)
    assert side is not None
    numbers = in_steps(prepared.image, numbers_of(prepared, side))
    return prepared, side, {name: float(value) for name, value in numbers.items()}


def drawn(features: Features, replicates: int):
    """What is fixed, and the groups of replicates."""
    prepared, side, _ = sides_of(features)
    assert prepared.label is not None
    fixed = fixed_of(prepared, side, prepared.text)
    draws = metrics.resample_within_classes(prepared.label, replicates=replicates, seed=0)
    group = group_size(fixed, 8 * replicates)  # all at once where memory allows
    return fixed, list(replicates_of(fixed, draws, size=len(prepared.label), group=group))


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_intervals_are_those_of_gathered_rows(case, crowded, monkeypatch):
    features = CASES[case]
    prepared, side, numbers = sides_of(features)
    assert features.label is not None
    draws = metrics.resample_within_classes(features.label, replicates=REPLICATES, seed=SEED)
    plain = metrics.bootstrap(lambda index: of_gathered_rows(features, index), numbers, draws)
    if crowded:  # as of 640 classes and more, whose (D, D) products are made once
        for place in ("diagnosis.redrawn", "metrics.geometry"):
            monkeypatch.setattr(f"ncscope.{place}.is_crowded", lambda rows: len(rows) > 15)
    found, _, _ = intervals(prepared, side, numbers, replicates=REPLICATES, seed=SEED)
    of_images = {name for name in found["values"] if not name.startswith("delta_lcd")}
    assert of_images == plain.keys()
    for name, interval in plain.items():
        mine = found["values"][name]
        for end in ("low", "high", "bias"):
            assert mine[end] == pytest.approx(getattr(interval, end), abs=1e-9), (name, end)


def test_a_gathered_row_is_asked_for_every_measure_with_an_interval():
    index = torch.arange(len(CASES["balanced"].label))  # pyright: ignore[reportArgumentType]
    index = index[CASES["balanced"].label >= 0]  # pyright: ignore[reportOptionalOperand]
    assert of_gathered_rows(CASES["balanced"], index).keys() == {*NAMES, "nc1/default", "nc4"}


def test_groups_of_replicates_of_any_size_agree(monkeypatch):
    def numbers():
        fixed, groups = drawn(CASES["balanced"], 7)
        clear = clear_of(fixed)
        found = [one for group in groups for one in redecided(fixed, clear, group)]
        return len(groups), torch.stack([torch.stack([*one.values()]) for one in found])

    groups, together = numbers()
    monkeypatch.setattr("ncscope.diagnosis.resampling._BYTES", 1)
    monkeypatch.setattr("ncscope.diagnosis.redecided._VALUES", 1)
    monkeypatch.setattr("ncscope.diagnosis.redecided._SCORES", 1)
    monkeypatch.setattr("ncscope.diagnosis.redecided._COLUMNS", 1)
    one_by_one, alone = numbers()
    assert (groups, one_by_one) == (1, 7)
    assert together.shape == (7, 2)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("counts", [[12] * 6, [400] * 6, [900, 100, 20, 3, 2, 1]])
def test_what_the_means_cannot_have_changed_is_not_looked_at_and_is_so(counts, dtype):
    features = made(counts, noise=1.0, dtype=dtype)
    fixed, groups = drawn(features, 20)
    clear = clear_of(fixed)
    assert clear is not None
    unclear = replace(clear, margin=torch.zeros_like(clear.margin))
    group = list(itertools.chain(*groups))
    quick, whole = (redecided(fixed, given, group) for given in (clear, unclear))
    for one, other in zip(quick, whole, strict=True):
        assert float(one["nc4"]) == pytest.approx(float(other["nc4"]), abs=1e-12)
    reach = torch.stack([one.shifts.norm(dim=1).max() for one in group]).max()
    assert float((clear.margin > 2 * reach).double().mean()) >= (0.5 if counts[0] == 400 else 0)


def test_draws_of_collapsed_images_stay_collapsed():
    fixed, groups = drawn(collapsed(), 5)
    [group] = groups
    for one, numbers in zip(group, redecided(fixed, clear_of(fixed), group), strict=True):
        assert float(numbers["nc1/default"]) < 1e-12
        assert float(numbers["nc4"]) == 1
        assert float(one.moments.spreads.max()) < 1e-12
        assert one.correct is not None
        assert one.correct.tolist() == [1] * len(one.correct)


def test_by_default_as_many_replicates_as_are_affordable_are_drawn(monkeypatch):
    prepared, side, numbers = sides_of(CASES["balanced"])
    assert prepared.image is not None
    once = 2.0 * prepared.image.numel() * 6
    for works, drawn_, left_out in (
        ((1, 1), {"cdnv": 200, "nc1/default": 200, "nc4": 200}, []),
        ((1, 10), {"cdnv": 200, "nc1/default": 70, "nc4": 70}, []),
        ((1, 15), {"cdnv": 200}, ["NC1 and NC4"]),
        ((10, 1), {"cdnv": 70, "nc1/default": 70, "nc4": 70}, []),
        ((20, 20), {}, ["image measures"]),
    ):
        monkeypatch.setattr("ncscope.diagnosis.intervals._works", lambda _, works=works: works)
        monkeypatch.setattr("ncscope.diagnosis.intervals.LARGEST_WORK", once + 700)
        found, notes, tables = intervals(prepared, side, numbers, replicates=None, seed=0)
        said = {n: found["values"][n]["replicates"] for n in drawn_ if n in found["values"]}
        assert said == drawn_
        assert {n for n in ("cdnv", "nc1/default", "nc4") if n in found["values"]} == drawn_.keys()
        assert [note.partition(":")[0] for note in notes] == [
            f"intervals of {what} left out" for what in left_out
        ]
        if drawn_:  # of the same draws, so that two runs can be paired
            assert len(tables["cdnv"]) == len(tables["nc1/default"])


def test_images_too_many_to_copy_have_intervals_where_they_are_asked_for(monkeypatch):
    monkeypatch.setattr("ncscope.diagnosis.intervals.is_large", lambda _: True)
    features = CASES["balanced"]
    record = measure(features).record
    assert not any(name.startswith("nc") for name in record["intervals"]["values"])
    assert any("they take a copy of the images" in warning for warning in record["warnings"])
    assert "nc1/default" in measure(features, bootstrap=5).record["intervals"]["values"]


def test_text_of_too_many_classes_has_intervals_where_they_are_asked_for(monkeypatch):
    monkeypatch.setattr("ncscope.diagnosis.intervals.LARGEST_TEXT_WORK", 2 * 36 * (16 + 200) - 1.0)
    text = replace(CASES["balanced"], image=None, label=None)
    record = measure(text).record
    assert record["intervals"]["values"] == {}
    said = "intervals of text measures left out: 200 replicates would take 2e+04 operations; ask"
    assert any(said in warning for warning in record["warnings"])
    asked = measure(text, bootstrap=200).record
    assert "delta_lcd/cosine/raw" in asked["intervals"]["values"]
    assert not any("intervals" in warning for warning in asked["warnings"])
