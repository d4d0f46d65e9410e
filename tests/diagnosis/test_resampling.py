"""Replicates by weights against replicates by gathered rows, measure by measure."""

from dataclasses import replace

import pytest
import torch

import ncscope.metrics as metrics
from ncscope.diagnosis.intervals import intervals
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.prepare import prepare
from ncscope.diagnosis.resampling import fixed_of, replicates_of
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
    }
    if features.text is not None:
        text = metrics.normalise_rows(features.text)
        logits = rows @ text.T * (1 if features.logit_scale is None else features.logit_scale)
        hits = logits.argmax(dim=1) == label
        among = moments.present[logits[:, moments.present].argmax(dim=1)]
        nearest = moments.present[torch.cdist(rows, means).argmin(dim=1)]
        found |= {
            "accuracy/top1": hits.double().mean(),
            "accuracy/class_mean": metrics.class_mean_accuracy(logits, label),
            "nc4": (among == nearest).double().mean(),
            "delta_mid/cosine/raw": metrics.delta_mid(means, text[moments.present]),
        }
        if features.logit_scale is not None:
            found["accuracy/ece"] = metrics.ece(logits, label)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_intervals_are_those_of_gathered_rows(case):
    features = CASES[case]
    prepared = prepare(features)
    side = image_side(prepared)
    parts = in_steps(prepared.image, numbers_of(prepared, side))
    numbers = {name: float(value) for name, value in parts.items()}
    found, _, _ = intervals(prepared, side, numbers, replicates=REPLICATES, seed=SEED)
    draws = metrics.resample_within_classes(
        features.label,  # pyright: ignore[reportArgumentType]
        replicates=REPLICATES,
        seed=SEED,
    )
    plain = metrics.bootstrap(lambda index: of_gathered_rows(features, index), numbers, draws)
    assert plain.keys() <= found["values"].keys()
    for name, interval in plain.items():
        mine = found["values"][name]
        for end in ("low", "high", "bias"):
            assert mine[end] == pytest.approx(getattr(interval, end), abs=1e-9), (name, end)


def test_groups_of_replicates_of_any_size_agree(monkeypatch):
    prepared = prepare(CASES["balanced"])
    side = image_side(prepared)
    assert side is not None
    assert prepared.label is not None
    fixed = fixed_of(prepared, side, prepared.text)

    def shares():
        draws = metrics.resample_within_classes(prepared.label, replicates=7, seed=0)  # pyright: ignore
        drawn = replicates_of(fixed, draws, size=len(prepared.label))  # pyright: ignore
        return torch.stack([samples.shares for _, samples in drawn])

    together = shares()
    monkeypatch.setattr("ncscope.diagnosis.resampling._BYTES", 1)
    one_by_one = shares()
    assert together.shape == one_by_one.shape == (7, 6)
    torch.testing.assert_close(together, one_by_one)


def test_draws_of_collapsed_images_stay_collapsed():
    prepared = prepare(collapsed())
    side = image_side(prepared)
    assert side is not None
    draws = metrics.resample_within_classes(prepared.label, replicates=5, seed=0)  # pyright: ignore
    fixed = fixed_of(prepared, side, prepared.text)
    for moments, samples in replicates_of(fixed, draws, size=20):
        assert float(samples.nc1) < 1e-12
        assert float(moments.spreads.max()) < 1e-12
        assert float(samples.over_samples(samples.correct)) == 1  # pyright: ignore


def test_by_default_as_many_replicates_as_are_affordable_are_drawn(monkeypatch):
    prepared = prepare(CASES["balanced"])
    side = image_side(prepared)
    parts = in_steps(prepared.image, numbers_of(prepared, side))
    numbers = {name: float(value) for name, value in parts.items()}
    monkeypatch.setattr("ncscope.diagnosis.intervals._work", lambda _: 1.0)
    for affordable, drawn in ((1000.0, 200), (70.0, 70), (49.0, 0)):
        monkeypatch.setattr("ncscope.diagnosis.intervals.LARGEST_WORK", affordable)
        found, notes, _ = intervals(prepared, side, numbers, replicates=None, seed=0)
        said = found["values"].get("nc1/default", {"replicates": 0})
        assert said["replicates"] == drawn
        assert [note.partition(":")[0] for note in notes] == (
            [] if drawn else ["intervals of image measures left out"]
        )


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
