"""Valid features at the edge of numbers: collapsed to a point, huge, tiny, of one class, zero."""

import dataclasses

import pytest
import torch

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.summary import SUMMARY
from ncscope.diagnosis.tables import value_at
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from tests.made_features import noisy

CENTRED = ("nc1", "cdnv", "nc3", "nc4", "etf_distance.image.centred", "delta_mid.centred")


def cone(spread, *, dtype=torch.float32):
    """Images that differ from one vector by `spread` of its length."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 8, generator=generator, dtype=torch.float64)
    features = noisy(5, 8, each=8)
    return dataclasses.replace(features, image=(1 + spread * noise).to(dtype))


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-6])
def test_images_that_differ_by_rounding_have_what_does_not_need_their_differences(spread):
    record = measure(cone(spread), bootstrap=3).record
    for path in CENTRED:
        assert value_at(record["summary"], path) is None, path
        assert any(path in warning for warning in record["warnings"]), path
    for path in ("delta_lcd.raw", "delta_mid.raw", "modality_gap", "accuracy.top1"):
        assert value_at(record["summary"], path) is not None, path
    assert any("no more than the rounding" in warning for warning in record["warnings"])
    assert record["conventions"]["nc1_inverse"]["condition"] is None


def test_a_cone_that_its_precision_resolves_is_measured():
    for found in (cone(1e-2), cone(1e-6, dtype=torch.float64)):
        summary = measure(found, bootstrap=0).record["summary"]
        assert all(value_at(summary, path) is not None for path in CENTRED)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("scale", [1e20, 1e-24, 1e36, 1e-36])
def test_the_magnitude_of_features_does_not_matter(scale, normalise):
    plain = noisy()
    scaled = dataclasses.replace(plain, image=plain.image * scale, text=plain.text * scale)
    expected, found = (
        measure(features, bootstrap=0, normalise=normalise).record["summary"]
        for features in (plain, scaled)
    )
    for path in SUMMARY:
        if path != "accuracy.ece" and (normalise or path != "modality_gap"):
            assert value_at(found, path) == pytest.approx(value_at(expected, path), rel=1e-5), path
    if not normalise:
        gap = expected["modality_gap"] * scale
        assert found["modality_gap"] == pytest.approx(gap, rel=1e-5)


@pytest.mark.parametrize("images", [1, 9])
def test_images_of_one_class_leave_the_text_side_and_the_accuracy(images):
    features = noisy(counts=[images, 0, 0, 0, 0, 0])
    assert features.image is not None
    assert features.text is not None
    record = measure(features, bootstrap=3).record
    unit = torch.nn.functional.normalize
    hits = (unit(features.image) @ unit(features.text).T).argmax(dim=1) == 0
    assert record["summary"]["accuracy"]["top1"] == pytest.approx(float(hits.double().mean()))
    assert record["summary"]["delta_lcd"]["raw"] is not None
    assert record["summary"]["nc1"] is None
    assert record["summary"]["etf_distance"]["cross"] == {"raw": None, "centred": None}
    reason = "undefined, all labelled images are of one class, class 0"
    assert any(warning.endswith(reason) for warning in record["warnings"])


def test_a_zero_image_is_left_out_where_that_is_asked_for():
    features = noisy()
    assert features.image is not None
    assert features.label is not None
    image = features.image.clone()
    image[13] = 0
    damaged = dataclasses.replace(features, image=image)
    without = torch.arange(len(image)) != 13
    expected = dataclasses.replace(features, image=image[without], label=features.label[without])
    record = measure(damaged, bootstrap=0, skip_bad=True).record
    assert record["summary"] == measure(expected, bootstrap=0).record["summary"]
    assert any("left out: 1 image features are zero" in said for said in record["warnings"])
    kept = measure(damaged, bootstrap=0).record
    assert any("--skip-bad" in said for said in kept["warnings"])


def repeated(*, alike):
    """60 images of 10 labels with a text row each, the same for one label or not."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(60) % 10
    text = torch.randn(10, 8, generator=generator)[label]
    text = text if alike else text + torch.randn(60, 8, generator=generator)
    image = torch.randn(60, 8, generator=generator)
    return image, label, text


@pytest.mark.parametrize("alike", [True, False])
def test_text_with_a_row_an_image_is_refused(alike):
    image, label, text = repeated(alike=alike)
    names = tuple(f"class {k}" for k in range(60))
    features = Features(image=image, label=label, text=text, classnames=names)
    with pytest.raises(ShapeError, match=r"`text` has 60 rows, as many as .* 10 labels: .*--pairs"):
        measure(features)


def test_named_classes_without_images_are_believed_and_said():
    image, label, text = repeated(alike=False)
    names = tuple(f"bird number {k}" for k in range(60))
    record = measure(Features(image=image, label=label, text=text, classnames=names)).record
    assert record["classes"] == 60
    assert any("looks like a row an image; it was taken" in w for w in record["warnings"])


def test_a_name_of_two_labels_is_said_and_labels_decide():
    plain = noisy()
    names = ("crane", "crane", *plain.classnames[2:])
    record = measure(dataclasses.replace(plain, classnames=names), bootstrap=0).record
    assert record["summary"] == measure(plain, bootstrap=0).record["summary"]
    assert any("'crane' (0, 1)" in warning for warning in record["warnings"])
