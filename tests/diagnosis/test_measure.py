"""The report's numbers: the ideals of an exact ETF, the metric functions' own values, absences."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false, reportArgumentType=false

import dataclasses
import json
import math

import pytest
import torch

from ncscope import metrics
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.summary import GLOSSARY, SUMMARY
from ncscope.diagnosis.tables import entry_of, summary_rows, value_at
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.page.report import Report
from tests.made_features import collapsed, named, noisy


def test_summary_has_exactly_the_published_keys():
    summary = measure(noisy(), bootstrap=0).record["summary"]
    pair = {"raw", "centred"}
    assert {side: set(forms) for side, forms in summary["etf_distance"].items()} == {
        "text": pair,
        "image": pair,
        "cross": pair,
    }
    assert set(summary["delta_lcd"]) == set(summary["delta_mid"]) == pair
    assert {n: set(v) for n, v in summary["nc2"].items()} == {
        "equinorm": {"text", "image"},
        "equiangular": {"text", "image"},
    }
    assert set(summary["effective_rank"]) == {"text", "image"}
    assert set(summary["accuracy"]) == {"top1", "class_mean", "ece"}
    assert set(summary) == {
        *("etf_distance", "delta_lcd", "delta_mid", "modality_gap", "nc1", "cdnv", "nc2"),
        *("nc3", "nc4", "effective_rank", "accuracy"),
    }


def test_record_has_the_published_keys_and_is_strict_json():
    record = measure(noisy(), bootstrap=3).record
    published = {
        *("source", "data", "classes", "samples", "dim", "summary", "bounds", "groups"),
        *("per_class", "intervals", "conventions", "warnings", "provenance"),
    }
    assert set(record) == published | {"measures"}
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_every_summary_value_has_a_glossary_entry_and_every_entry_a_value():
    for path in SUMMARY:
        assert entry_of(path)[0] is not None
    assert {path if path in GLOSSARY else path.rpartition(".")[0] for path in SUMMARY} == set(
        GLOSSARY
    )


def test_a_collapsed_set_has_every_ideal():
    features = collapsed()
    summary = measure(features, bootstrap=0).record["summary"]
    zeros = [p for p in SUMMARY if entry_of(p)[0].ideal == "0" and p != "accuracy.ece"]
    for path in zeros:
        assert value_at(summary, path) == pytest.approx(0, abs=1e-6), path
    for path in ("nc4", "accuracy.top1", "accuracy.class_mean"):
        assert value_at(summary, path) == 1
    for side in ("text", "image"):
        assert summary["effective_rank"][side] == pytest.approx(4)


def test_the_report_prints_the_metric_functions_own_values():
    features = noisy(counts=[3, 5, 7, 9, 11, 13], noise=1.5)
    record = measure(features, bootstrap=0).record
    image = metrics.normalise_rows(features.image.double())
    text = metrics.normalise_rows(features.text.double())
    label = features.label
    moments = metrics.class_moments(image, label, 6)
    logits = 20 * image @ text.T
    expected = {
        "etf_distance.text.raw": metrics.etf_distance(text),
        "etf_distance.text.centred": metrics.etf_distance(text, centred=True),
        "etf_distance.image.raw": metrics.etf_distance(moments.means),
        "etf_distance.image.centred": metrics.etf_distance(moments.means, centred=True),
        "etf_distance.cross.raw": metrics.cross_etf_distance(image_means=moments.means, text=text),
        "etf_distance.cross.centred": metrics.cross_etf_distance(
            image_means=moments.means, text=text, center="both"
        ),
        "delta_lcd.raw": metrics.delta_lcd(text),
        "delta_lcd.centred": metrics.delta_lcd(text, centred=True),
        "delta_mid.raw": metrics.delta_mid(moments.means, text),
        "delta_mid.centred": metrics.delta_mid(moments.means, text, centred=True),
        "modality_gap": metrics.modality_gap(moments.means, text),
        "nc1": metrics.nc1(image, label, 6),
        "cdnv": metrics.cdnv(moments),
        "nc2.equinorm.text": metrics.equinorm(text, centred=True),
        "nc2.equinorm.image": metrics.equinorm(moments.means, centred=True),
        "nc2.equiangular.text": metrics.equiangular(text, centred=True),
        "nc2.equiangular.image": metrics.equiangular(moments.means, centred=True),
        "nc3": metrics.self_duality(moments.means, text, centred=True),
        "nc4": metrics.nc4(image, label, text),
        "effective_rank.text": metrics.effective_rank(text),
        "effective_rank.image": metrics.effective_rank(moments.means),
        "accuracy.top1": metrics.top1(logits, label),
        "accuracy.class_mean": metrics.class_mean_accuracy(logits, label),
        "accuracy.ece": metrics.ece(logits, label),
    }
    assert set(expected) == set(SUMMARY)
    for path, value in expected.items():
        assert value_at(record["summary"], path) == pytest.approx(float(value), rel=1e-5), path
    assert record["measures"]["alignment"] == pytest.approx(
        float(metrics.alignment(image, label, text)), rel=1e-5
    )
    assert record["measures"]["nc1/quotient"] == pytest.approx(
        float(metrics.nc1(image, label, 6, variant="quotient")), rel=1e-5
    )
    assert record["measures"]["nc1/papyan"] == pytest.approx(
        float(metrics.nc1(image, label, 6, variant="papyan")), rel=1e-5
    )
    for k, row in enumerate(record["per_class"]):
        assert row["count"] == int(moments.counts[k])
        assert row["variance"] == pytest.approx(float(moments.spreads[k]), rel=1e-5)
        assert row["cosine"] == pytest.approx(
            float(metrics.matched_cosines(moments.means, text)[k]), rel=1e-6
        )


def test_text_scale_and_image_scale_do_not_matter_on_entry():
    features = noisy()
    scaled = dataclasses.replace(features, image=features.image * 10, text=features.text / 7)
    left, right = (measure(f, bootstrap=0).record["summary"] for f in (features, scaled))
    for path in SUMMARY:
        assert value_at(left, path) == pytest.approx(value_at(right, path), rel=1e-4), path


def test_lengths_matter_when_they_are_said_to():
    features = noisy()
    scaled = dataclasses.replace(features, text=features.text * torch.arange(1.0, 7)[:, None])
    as_given = measure(scaled, bootstrap=0, normalise=False).record
    assert as_given["conventions"]["normalised_on_entry"] is False
    plain = measure(features, bootstrap=0, normalise=False).record
    assert as_given["summary"]["accuracy"]["top1"] < plain["summary"]["accuracy"]["top1"]


def test_text_alone_leaves_image_measures_absent_with_the_reason():
    features = dataclasses.replace(noisy(), image=None, label=None)
    record = measure(features).record
    assert record["summary"]["delta_lcd"]["raw"] is not None
    assert record["summary"]["delta_mid"] == {"raw": None, "centred": None}
    assert record["summary"]["accuracy"]["top1"] is None
    assert record["samples"] == 0
    assert any("nc1" in w and "there are no image features" in w for w in record["warnings"])


def test_images_alone_leave_text_measures_absent_with_the_reason():
    record = measure(dataclasses.replace(noisy(), text=None), bootstrap=2).record
    assert record["summary"]["nc1"] is not None
    assert record["summary"]["delta_lcd"]["raw"] is None
    assert any("there are no text features" in w for w in record["warnings"])


def test_images_without_labels_are_said_to_have_none():
    features = noisy()
    for label in (None, torch.full_like(features.label, -1)):
        record = measure(dataclasses.replace(features, label=label)).record
        assert record["summary"]["nc1"] is None
        assert any("the images have no labels" in w for w in record["warnings"])


def test_no_scale_leaves_only_calibration_absent():
    record = measure(dataclasses.replace(noisy(), logit_scale=None), bootstrap=0).record
    assert record["summary"]["accuracy"]["ece"] is None
    assert record["summary"]["accuracy"]["top1"] is not None
    assert any("there is no logit scale" in w for w in record["warnings"])


def test_unlabelled_images_are_ignored_and_counted():
    features = noisy()
    label = features.label.clone()
    label[::5] = -1
    kept = label >= 0
    with_ignored = measure(dataclasses.replace(features, label=label), bootstrap=0).record
    without = measure(
        dataclasses.replace(features, image=features.image[kept], label=label[kept]), bootstrap=0
    ).record
    assert with_ignored["summary"] == without["summary"]
    assert with_ignored["samples"] == int(kept.sum())
    assert f"{int((~kept).sum())} images without a label were ignored" in with_ignored["warnings"]


def test_an_empty_class_is_left_out_on_both_sides_and_named():
    features = noisy(7, counts=[6, 6, 0, 6, 6, 6, 6])
    kept = [0, 1, 3, 4, 5, 6]
    place = torch.tensor([0, 1, -1, 2, 3, 4, 5])
    without = Features(
        image=features.image,
        label=place[features.label],
        text=features.text[kept],
        classnames=named(6),
        logit_scale=features.logit_scale,
    )
    record = measure(features, bootstrap=0).record
    expected = measure(without, bootstrap=0).record
    for path in ("etf_distance.cross.centred", "delta_mid.centred", "nc1", "nc3", "nc4", "cdnv"):
        assert value_at(record["summary"], path) == pytest.approx(
            value_at(expected["summary"], path), rel=1e-6
        ), path
    assert record["per_class"][2]["accuracy"] is None
    assert record["per_class"][2]["count"] == 0
    assert any("1 classes without images" in w and "class 2" in w for w in record["warnings"])


def test_single_images_do_not_read_as_collapse():
    record = measure(noisy(counts=[1, 8, 8, 8, 8, 8]), bootstrap=0).record
    assert record["per_class"][0]["variance"] is None
    assert record["summary"]["nc1"] > 0
    assert any("1 classes with one image" in w for w in record["warnings"])


def test_a_zero_text_row_is_named_and_not_measured():
    features = noisy()
    text = features.text.clone()
    text[3] = 0
    record = measure(dataclasses.replace(features, text=text), bootstrap=0).record
    assert record["summary"]["delta_lcd"]["raw"] is None
    assert any("class 3 is zero" in w for w in record["warnings"])


def test_a_zero_image_row_is_named_and_not_measured():
    features = noisy()
    image = features.image.clone()
    image[13] = 0
    record = measure(dataclasses.replace(features, image=image), bootstrap=0).record
    assert record["summary"]["nc1"] is None
    assert any("at rows 13 (class 1)" in w for w in record["warnings"])


def test_coinciding_class_means_are_flagged_and_cdnv_is_no_number():
    features = noisy()
    image = features.image.clone()
    image[12:24] = image[:12]
    record = measure(dataclasses.replace(features, image=image), bootstrap=0).record
    assert record["summary"]["cdnv"] is None
    assert any("infinite" in w for w in record["warnings"])
    assert any("span 4 of 5 directions" in w for w in record["warnings"])
    assert math.isfinite(record["summary"]["nc1"])


def test_more_classes_than_an_etf_can_hold_come_with_the_floor():
    record = measure(noisy(20, 6), bootstrap=0).record
    assert record["bounds"]["simplex_etf_exists"] is False
    floor = math.sqrt(2 - 2 * math.sqrt(6 / 19))
    assert record["bounds"]["etf_distance"]["text"]["floor"] == pytest.approx(floor)
    assert record["summary"]["etf_distance"]["text"]["centred"] >= floor
    assert any("no simplex ETF exists" in w for w in record["warnings"])


def test_two_classes_are_measured_with_a_note():
    record = measure(noisy(2), bootstrap=0).record
    assert record["summary"]["delta_lcd"]["centred"] == pytest.approx(0, abs=1e-9)
    assert any(w.startswith("K = 2") for w in record["warnings"])


def test_one_class_is_refused():
    with pytest.raises(ShapeError, match=r"at least 2 classes .* found one class, 'class 0'"):
        measure(noisy(1))


def test_images_of_one_class_alone_are_refused():
    features = dataclasses.replace(noisy(counts=[9, 0, 0, 0, 0, 0]), text=None)
    with pytest.raises(ShapeError, match="only 1 of 6 classes has labelled images, and there are"):
        measure(features)


def test_groups_follow_the_training_counts():
    record = measure(noisy(), bootstrap=0, train_counts=[16, 8, 4, 2, 1, 1]).record
    groups = record["groups"]
    assert {n: g["classes"] for n, g in groups.items()} == {"head": 2, "medium": 2, "tail": 2}
    assert (groups["head"]["count_min"], groups["tail"]["count_max"]) == (8, 1)
    rows = record["per_class"]
    assert groups["tail"]["accuracy"] == pytest.approx(
        (rows[4]["accuracy"] + rows[5]["accuracy"]) / 2
    )
    assert rows[0]["train_count"] == 16


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (None, "none: no training counts were given"),
        ([4] * 6, "none: balanced, or fewer than 3 classes"),
        ([9, 4, 4, 4, 2, 1], "none: the cut into thirds falls among classes with 4 training"),
    ],
)
def test_groups_are_not_invented(counts, why):
    record = measure(noisy(counts=[9, 8, 7, 6, 5, 4]), bootstrap=0, train_counts=counts).record
    assert record["groups"] == dict.fromkeys(("head", "medium", "tail"))
    assert record["conventions"]["groups"].startswith(why)


def test_training_counts_by_name_are_put_in_class_order():
    counts = {"Class_5": 1, "class 4": 2, "class 3": 4, "class 2": 8, "class 1": 16, "class 0": 32}
    rows = measure(noisy(), bootstrap=0, train_counts=counts).record["per_class"]
    assert [row["train_count"] for row in rows] == [32, 16, 8, 4, 2, 1]
    del counts["class 3"]
    with pytest.raises(ShapeError, match="`train_counts` lacks 1 of 6 classes: class 3; expected"):
        measure(noisy(), train_counts=counts)


def test_training_counts_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="`train_counts` has 2 entries; expected K = 6"):
        measure(noisy(), train_counts=[1, 2])


def test_hierarchy_is_kept_where_text_did_not_change():
    features = noisy()
    frozen = dataclasses.replace(features, text_frozen=features.text)
    numbers = measure(frozen, bootstrap=0).record["measures"]
    assert numbers["hierarchy_retention/pearson/raw"] == pytest.approx(1)
    assert numbers["hierarchy_retention/spearman/centred"] == pytest.approx(1)


def test_text_given_per_image_but_equal_for_all_measures_as_shared_text():
    features = noisy(noise=1.5)
    spread = features.text.expand(len(features.label), -1, -1).clone()
    shared = measure(features, bootstrap=0).record["summary"]
    per_image = measure(dataclasses.replace(features, text=spread), bootstrap=2).record
    for path in SUMMARY:
        assert value_at(per_image["summary"], path) == pytest.approx(
            value_at(shared, path), rel=1e-5
        ), path
    assert per_image["conventions"]["text_reduction"] == "mean over images"


def test_text_per_image_decides_each_image_by_its_own():
    features = noisy(noise=0.0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    spread = features.text.expand(len(features.label), -1, -1).clone()
    wrong = features.label < 2
    spread[wrong] = features.text[order.roll(1)]
    record = measure(dataclasses.replace(features, text=spread), bootstrap=0).record
    unit = torch.nn.functional.normalize
    logits = torch.einsum("nkd,nd->nk", unit(spread, dim=2), unit(features.image, dim=1))
    hits = logits.argmax(dim=1) == features.label
    assert record["summary"]["accuracy"]["top1"] == pytest.approx(float(hits.double().mean()))


def test_the_table_shows_every_run_and_every_headline_measure():
    runs = (measure(noisy(), bootstrap=0), measure(collapsed(), bootstrap=0))
    table = Report(runs).table()
    assert len(table.splitlines()) == 2 + len(SUMMARY)
    assert "noisy" in table
    assert "Δ LCD, centred" in table


def test_ranges_are_numbers_at_this_k_and_hold_every_value():
    part = dataclasses.replace(noisy(), label=noisy().label.clamp(max=3))  # two without images
    for features in (noisy(), collapsed(), noisy(20, 6), part):
        record = measure(features, bootstrap=0).record
        rows = summary_rows([record], ["run"])
        assert rows[0][2] == f"range at K = {record['classes']}"
        for title, value, span, ideal in rows[2:]:
            if span and value != "-":
                low, high = (float(w.split(" ")[0].replace("∞", "inf")) for w in span.split(" … "))
                assert low - 1e-3 <= float(value) <= high + 1e-3, title
                assert low <= float(ideal) or title.startswith("ETF distance"), title
    spans = {row[0]: row[2] for row in rows}
    assert spans["NC2 equinorm, image"] == "0 … 1.732"  # of the four that have images
    assert spans["NC2 equinorm, text"] == "0 … 2.236"


def test_ranges_of_runs_with_other_classes_stay_formulas():
    records = [measure(noisy(k, 8), bootstrap=0).record for k in (5, 6)]
    spans = [row[-2] for row in summary_rows(records, ["a", "b"])]
    assert spans[0] == "range"
    assert "0 … K/(K−1)" in spans


def test_the_table_leaves_out_what_no_run_has_and_shows_the_floor():
    features = dataclasses.replace(noisy(20, 6), image=None, label=None)
    table = Report((measure(features, bootstrap=0),)).table()
    assert "NC1" not in table
    assert "Δ LCD, raw" in table
    assert f"{math.sqrt(2 - 2 * math.sqrt(6 / 19)):.4f}" in table


def test_classes_with_the_same_text_feature_are_named():
    features = noisy()
    text = features.text.clone()
    text[4] = 2 * text[1]
    record = measure(dataclasses.replace(features, text=text), bootstrap=0).record
    assert (
        "1 pairs of classes have the same text feature: class 1 and class 4" in record["warnings"]
    )


def test_what_tuning_did_is_measured_against_the_frozen_text():
    features = noisy()
    frozen = features.text + 2 * torch.randn(6, 16, generator=torch.Generator().manual_seed(1))
    found = measure(dataclasses.replace(features, text_frozen=frozen), bootstrap=0)
    numbers = found.record["measures"]
    unit, old = (metrics.normalise_rows(t.double()) for t in (features.text, frozen))
    angles = torch.rad2deg((unit * old).sum(dim=1).acos())
    assert numbers["drift/text/angle"] == pytest.approx(float(angles.mean()))
    assert numbers["drift/text/angle_max"] == pytest.approx(float(angles.max()))
    assert 0 < numbers["drift/text/outside"] < 1
    assert not [
        name for name in measure(features, bootstrap=0).record["measures"] if "drift" in name
    ]


def test_margins_and_clusters_are_of_every_run_with_images_and_recall_of_pairs():
    numbers = measure(noisy(), bootstrap=0).record["measures"]
    assert numbers["margin/mean"] > 0 < numbers["margin/variance"]
    assert {"kmeans/v_measure", "kmeans/ari", "effective_rank/within"} <= set(numbers)
    assert not [name for name in numbers if name.startswith("recall")]
    rows = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    pairs = Features(image=rows, label=torch.arange(12), text=rows, classnames=named(12))
    numbers = measure(pairs, bootstrap=0).record["measures"]
    for way in ("image_to_text", "text_to_image"):
        assert [numbers[f"recall/{depth}/{way}"] for depth in (1, 5, 10)] == [1, 1, 1]
    assert "kmeans/ari" not in numbers


def test_each_class_has_its_part_of_the_centred_lcd():
    record = measure(noisy(7), bootstrap=0).record
    parts = [row["delta_lcd"] for row in record["per_class"]]
    assert sum(parts) / 7 == pytest.approx(record["summary"]["delta_lcd"]["centred"])
    assert max(parts) > 1.05 * min(parts)
