"""`ncscope.CollapseMetrics`: a report's summary from batches, with torchmetrics and without."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportArgumentType=false

import json
from copy import deepcopy

import pytest
import torch

import ncscope
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from tests.made_features import collapsed, named, noisy
from tests.processes import run_script

BY_SAMPLE = {"nc1", "nc4", "accuracy.top1", "accuracy.class_mean", "accuracy.ece"}
BALANCED = noisy(each=12)
TAILED = noisy(counts=[40, 12, 5, 2, 1, 9], seed=3)
both = pytest.mark.parametrize("samples", [True, False])


def flat(tree, path=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def of_batches(features, *, size=7, samples=True, shuffled=True):
    found = ncscope.CollapseMetrics(features.num_classes, samples=samples)
    order = torch.arange(features.num_samples)
    if shuffled:
        order = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
    for rows in order.split(size):
        found.update(features.image[rows], features.label[rows])
    return found


def assert_equal(found, wanted, *, but=(), atol=1e-6):
    found, wanted = dict(flat(found)), dict(flat(wanted))
    assert found.keys() == wanted.keys()
    assert {n for n, v in found.items() if v is None} == {
        n for n, v in wanted.items() if v is None or n in but
    }
    for name in (name for name, value in wanted.items() if value is not None and name not in but):
        assert found[name] == pytest.approx(wanted[name], rel=atol, abs=atol), name


def report_of(features):
    return ncscope.analyze(features, bootstrap=0).summary


@both
@pytest.mark.parametrize("features", [BALANCED, TAILED, collapsed()], ids=["even", "tail", "etf"])
def test_batches_in_any_order_have_the_summary_of_a_report(features, samples):
    for size in (1, 7, 1000):
        metric = of_batches(features, size=size, samples=samples)
        found = metric.compute(features.text, logit_scale=features.logit_scale)
        assert_equal(found, report_of(features), but=() if samples else BY_SAMPLE)


@both
def test_without_text_the_image_side_is_a_reports_and_each_null_has_its_reason(samples):
    metric = of_batches(TAILED, samples=samples)
    wanted = report_of(Features(TAILED.image, TAILED.label, None, named(6)))
    assert_equal(metric.compute(), wanted, but=() if samples else {"nc1"})
    reasons = "\n".join(metric.warnings)
    assert "delta_mid.centred, modality_gap, " in reasons
    assert "undefined, there are no text features" in reasons
    kept = "nc1: undefined, the images are not kept; CollapseMetrics(..., samples=True) keeps them"
    assert (kept in metric.warnings) is not samples


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
@both
def test_a_compute_is_of_the_text_it_is_given_and_else_of_the_last_update(samples):
    metric = of_batches(BALANCED, samples=samples)
    other = BALANCED.text.flip(0)
    lcd = [metric.compute(text)["delta_mid"]["raw"] for text in (BALANCED.text, other)]
    assert lcd[0] != lcd[1]
    metric.update(BALANCED.image[:2], BALANCED.label[:2] * 0 - 1, other)
    assert metric.compute()["delta_mid"]["raw"] == lcd[1]
    assert metric.compute(BALANCED.text)["delta_mid"]["raw"] == lcd[0]
    assert "2 images without a label were ignored" in metric.warnings
    metric.reset()
    with pytest.raises(ShapeError, match="there is nothing to measure; call `update`"):
        metric.compute()
    assert_equal(metric.compute(other), metric.compute(3 * other))  # text alone


@both
def test_merged_metrics_are_one_of_all_and_leave_the_other_alone(samples):
    whole = of_batches(TAILED, samples=samples).compute(TAILED.text)
    halves = [ncscope.CollapseMetrics(6, samples=samples) for _ in range(3)]
    halves[0].update(TAILED.image[::2], TAILED.label[::2])
    halves[1].update(TAILED.image[1::2], TAILED.label[1::2])
    before = halves[1].compute(TAILED.text)
    halves[0].merge(halves[1])
    halves[0].merge(halves[2])  # which has seen nothing
    halves[2].merge(halves[0])
    assert_equal(halves[0].compute(TAILED.text), whole)
    assert_equal(halves[2].compute(TAILED.text), whole)
    assert halves[1].compute(TAILED.text) == before
    with pytest.raises(ShapeError, match=r"\(num_classes, samples, width\) = \(6, .* and \(5, "):
        halves[0].merge(ncscope.CollapseMetrics(5, samples=samples))


@both
def test_a_state_dict_goes_through_a_file_to_a_new_metric(samples, tmp_path):
    metric = of_batches(TAILED, samples=samples)
    model = torch.nn.ModuleDict({"collapse": metric})
    torch.save(model.state_dict(), tmp_path / "state")
    other = torch.nn.ModuleDict({"collapse": ncscope.CollapseMetrics(6, samples=samples)})
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    [again] = other.values()
    assert again.compute(TAILED.text) == metric.compute(TAILED.text)
    for one in (again, metric):
        one.update(BALANCED.image, BALANCED.label)
    assert again.compute(TAILED.text) == metric.compute(TAILED.text)
    wrong = ncscope.CollapseMetrics(6, samples=not samples)
    with pytest.raises(ShapeError, match=f"the saved state is of samples={samples}, this one of"):
        wrong.load_state_dict(metric.state_dict())


def test_sums_take_no_memory_for_images_and_rows_are_copies():
    metric = ncscope.CollapseMetrics(6, samples=False)
    for _ in range(50):
        metric.update(BALANCED.image, BALANCED.label)
    assert sum(v.numel() for v in metric.get_extra_state().values() if hasattr(v, "numel")) < 120
    kept, image = ncscope.CollapseMetrics(6), BALANCED.image.clone()
    kept.update(image, BALANCED.label)
    wanted = kept.compute(BALANCED.text)
    image.zero_()
    assert kept.compute(BALANCED.text) == wanted


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_any_precision_and_with_a_gradient_are_measured(dtype, samples):
    image = BALANCED.image.to(dtype).requires_grad_()
    metric = ncscope.CollapseMetrics(6, samples=samples)
    metric.update(image, BALANCED.label, BALANCED.text.to(dtype))
    alike = Features(image.detach(), BALANCED.label, BALANCED.text.to(dtype), named(6))
    but = {"accuracy.ece"} | (set() if samples else BY_SAMPLE)
    found, wanted = metric.compute(), report_of(alike)
    found["accuracy"]["ece"] = wanted["accuracy"]["ece"]  # which has no scale here
    assert_equal(found, wanted, but=but)


REFUSED = {
    "label": ((BALANCED.image, BALANCED.label + 3), r"`labels` must lie in 0\.\.5"),
    "shape": ((BALANCED.image, BALANCED.label[:5]), r"`labels` must be an integer \(N,\) tensor"),
    "width": ((BALANCED.image[:, :9], BALANCED.label), "`image` is 9 wide; the batches before w"),
    "nan": ((BALANCED.image * torch.nan, BALANCED.label), "`image` has NaN or inf in 72 of 72"),
    "text": (
        (BALANCED.image, BALANCED.label, BALANCED.text[:4]),
        r"`text` must be a floating \(K, D\) tensor with K = 6, a row a class; got .*\(4, 16\)",
    ),
}


@both
@pytest.mark.parametrize("case", REFUSED)
def test_refused_batches_add_nothing(case, samples):
    batch, message = REFUSED[case]
    metric = of_batches(BALANCED, samples=samples)
    before = metric.compute(BALANCED.text)
    with pytest.raises(ShapeError, match=message):
        metric.update(*batch)
    assert metric.compute(BALANCED.text) == before


def test_zero_vectors_are_refused_or_make_nulls_and_one_class_needs_text():
    image = BALANCED.image.clone()
    image[5] = 0
    with pytest.raises(ShapeError, match=r"`image` has zero vectors, .* at rows 5; label them -1"):
        ncscope.CollapseMetrics(6, samples=False).update(image, BALANCED.label)
    metric = ncscope.CollapseMetrics(6)
    metric.update(image, BALANCED.label)
    assert metric.compute(BALANCED.text)["delta_mid"]["raw"] is None
    assert any("1 image features are zero vectors" in said for said in metric.warnings)
    for samples in (True, False):
        one = ncscope.CollapseMetrics(6, samples=samples)
        one.update(BALANCED.image[:4], BALANCED.label[:4])
        with pytest.raises(ShapeError, match="only 1 of 6 classes has labelled images"):
            one.compute()
        assert one.compute(BALANCED.text)["delta_lcd"]["raw"] is not None
        assert any("all labelled images are of one class" in said for said in one.warnings)
    with pytest.raises(ShapeError, match="at least 2 classes are needed; got `num_classes` = 1"):
        ncscope.CollapseMetrics(1)


@both
def test_with_torchmetrics_it_is_a_metric_of_a_collection(samples):
    torchmetrics = pytest.importorskip("torchmetrics")
    found = ncscope.CollapseMetrics(6, samples=samples)
    assert isinstance(found, torchmetrics.Metric)
    together = torchmetrics.MetricCollection(
        {"collapse": found, "mean": torchmetrics.MeanMetric()}, prefix="val/"
    )
    for rows in torch.arange(72).split(10):
        together.update(
            image=BALANCED.image[rows], label=BALANCED.label[rows], text=BALANCED.text, value=1.0
        )
    result = together.compute()
    assert result["val/mean"] == 1
    only = {name: result[f"val/{name}"] for name in report_of(BALANCED)}
    assert_equal(only, of_batches(BALANCED, samples=samples).compute(BALANCED.text))
    together.reset()
    assert found._width() is None
    batch = found(BALANCED.image, BALANCED.label, BALANCED.text)  # forward: of this batch alone
    found(TAILED.image, TAILED.label, TAILED.text)
    wanted = of_batches(BALANCED, samples=samples, shuffled=False)
    assert_equal(batch, wanted.compute(BALANCED.text))
    wanted.merge(of_batches(TAILED, samples=samples, shuffled=False))
    assert_equal(found.compute(TAILED.text), wanted.compute(TAILED.text))
    assert_equal(deepcopy(found).compute(TAILED.text), wanted.compute(TAILED.text))


SCRIPT = """
import json, sys
import torch, torch.distributed as dist
import ncscope
from tests.diagnosis.test_streaming import TAILED
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, found = dist.get_rank(), {}
for samples in (True, False):
    metric = ncscope.CollapseMetrics(6, samples=samples)
    for rows in (torch.arange(5), torch.arange(5, 20)) if rank == 0 else (torch.arange(20, 69),):
        metric.update(TAILED.image[rows], TAILED.label[rows])
    found[str(samples)] = metric.compute(TAILED.text)
    metric.update(TAILED.image[:0], TAILED.label[:0])  # its own images are left after a compute
if rank == 1:
    open(sys.argv[1], "w").write(json.dumps(found))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_torchmetrics_joins_what_processes_have(tmp_path):
    pytest.importorskip("torchmetrics")
    run_script(tmp_path, SCRIPT, str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    for samples in (True, False):
        wanted = of_batches(TAILED, samples=samples).compute(TAILED.text)
        assert_equal(found[str(samples)], wanted)
