"""What `ncscope.metrics` offers: every name is listed, and says how to read its number."""

import inspect
import re
from pathlib import Path

import pytest

import ncscope
import ncscope.metrics
from ncscope.errors import DataError, NcscopeError, ShapeError
from tests.made_features import noisy

# How a docstring may say what its number means: a range, a bound, a direction, or the ideal.
READING = re.compile(
    r"[Ii]n \[|[Rr]ange|[Ll]ower|[Hh]igher|>= 0|ideal|at an ETF|Least|Largest|bound"
)
# What gives no number to read: data, the frame itself, and parts others are made of.
NOT_MEASURES = {
    "ClassMoments", "Interval", "MomentsAccumulator", "PullPush", "SampleAccumulator",
    "SampleMeasures", "pull_push",
    "Whitening", "bootstrap", "centre_rows", "class_balanced_mean", "class_moments",
    "confidence_bins", "cosine_summary", "cosine_table", "cpt_clusters", "decisions", "etf_gram",
    "frequency_groups", "intervals_of", "ncc_predictions", "nearest_etf", "normalise_rows",
    "off_diagonal",
    "pair_mean", "pair_means", "resample_classes", "resample_within_classes", "simplex_etf",
    "under_convention", "whitening",
}  # fmt: skip
PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
OFFERED = [name for name in ncscope.metrics.__all__ if callable(getattr(ncscope.metrics, name))]


def test_all_lists_the_public_names_in_order():
    public = [
        name
        for name, value in vars(ncscope.metrics).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]
    assert ncscope.metrics.__all__ == sorted(public)


@pytest.mark.parametrize("name", OFFERED)
def test_every_name_is_explained(name):
    assert (getattr(ncscope.metrics, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", sorted(set(OFFERED) - NOT_MEASURES))
def test_every_measure_states_its_range_or_direction(name):
    assert READING.search(getattr(ncscope.metrics, name).__doc__)


def test_analyze_takes_what_the_verb_takes():
    words: dict = {"data": "toy:colours", "split": "new", "template": "a photo of {}."}
    report = ncscope.analyze("zero-shot", **words, bootstrap=0, cache="off")
    features = ncscope.extract("zero-shot", **words, cache="off")
    assert report.summary == ncscope.analyze(features, bootstrap=0).summary
    assert report.records[0]["data"] == "toy:colours"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"backbone": "toy"}, "`backbone` says how features are extracted of `data`, which is"),
        ({"data": "toy:colours", "extract": len, "cache": "off"}, "for which `extract` was given"),
        ({"data": "toy:colours", "residual_scal": 1}, "`residual_scal`; is `residual_scale` meant"),
        ({"data": "toy:colours", "colour": 1}, "no option `colour`; expected one of classnames, "),
    ],
)
def test_an_option_that_is_none_is_named(words, said):
    with pytest.raises(DataError, match=said):
        ncscope.analyze("zero-shot", **words)


def test_features_are_made_of_lists_and_arrays_as_of_tensors():
    whole = noisy()
    image, label, text = whole.image, whole.label, whole.text
    assert image is not None
    assert label is not None
    assert text is not None
    as_lists: dict = {"image": image.tolist(), "label": label.tolist(), "text": text.tolist()}
    as_arrays: dict = {"image": image.numpy(), "label": label.numpy(), "text": text.numpy()}
    found = [ncscope.Features(**given, logit_scale=20) for given in (as_lists, as_arrays)]  # pyright: ignore[reportArgumentType]
    for features in found:
        assert features.classnames == tuple(f"class {k}" for k in range(6))
        assert features.warnings == ["no class names; numbered after the rows of `text`, 6 classes"]
    summaries = [ncscope.analyze(features, bootstrap=0).summary for features in found]
    assert summaries[0]["nc1"] == pytest.approx(summaries[1]["nc1"])
    assert summaries[1]["nc1"] == ncscope.analyze(whole, bootstrap=0).summary["nc1"]


def test_a_figure_s_classes_are_chosen_by_name():
    features = noisy()
    names = [features.classnames[k] for k in (4, 1)]
    by_name = ncscope.plots.simplex(features, classes=names)
    assert by_name == ncscope.plots.simplex(features, classes=[4, 1])
    assert by_name != ncscope.plots.simplex(features, classes=[1, 2])
    with pytest.raises(ShapeError, match="'cat' is the name of 0 classes; expected one of "):
        ncscope.plots.simplex(features, classes=["cat", names[0]])
    with pytest.raises(ShapeError, match=r"must be indices or names; got 1\.5"):
        ncscope.plots.simplex(features, classes=[1.5, 2])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("given", ["no-such-file", 3, None, [1, 2]], ids=repr)
@pytest.mark.parametrize(
    "call",
    [
        ncscope.read_features, ncscope.analyze, ncscope.measure, ncscope.intervene,
        ncscope.plots.simplex, ncscope.plots.modality_gap, ncscope.compare,
        lambda given: ncscope.extract(given, data="toy:colours"),
        lambda given: ncscope.analyze("zero-shot", data=given),
        lambda given: ncscope.write_features(given, "features.npz"),
    ],
    ids=["read_features", "analyze", "measure", "intervene", "simplex", "modality_gap", "compare",
         "extract", "data", "write_features"],
)  # fmt: skip
def test_what_is_no_input_is_an_error_of_ours(call, given):
    with pytest.raises(NcscopeError):
        call(given)


@pytest.mark.parametrize("home", ["ncscope", "metrics", "plots"])
def test_the_page_of_the_interface_has_every_public_name(home):
    module = ncscope if home == "ncscope" else getattr(ncscope, home)
    named = re.findall(rf"^\| `{home}\.(\w+)` \| \S.* \|$", PAGE, re.MULTILINE)
    said = {name for name in module.__all__ if f"`{home}.{name}`" in PAGE}
    assert said == set(module.__all__)
    assert set(named) <= said
    assert len(named) == len(set(named)) >= len(said) - 3  # two modules and the version are prose
