"""What is minimised is what is measured: loss and gradient of every form, in any way of a step."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ncscope import metrics
from ncscope.diagnosis.measure import measure as report
from ncscope.features.bundle import Features
from ncscope.features.processes import ALONE
from ncscope.tuning.forms import Objective
from ncscope.tuning.npt import NPTLoss
from ncscope.tuning.step import new_loss, step_gradients
from tests.processes import run_script
from tests.tuning import rows
from tests.tuning.rows import CASES, Case

ROOT = Path(__file__).parents[2]
SHARED = [case for case in CASES if not case.by_image]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_shared = pytest.mark.parametrize("case", SHARED, ids=str)  # text features of all images
# What a report calls the measure that a form is
REPORTED = {
    ("lcd", "cosine"): ("delta_lcd/cosine_p2/", 1),
    ("lcd", "frobenius"): ("delta_lcd/frobenius/", 1),
    ("lcd", "dispersion"): ("dispersion/text", -1),
    ("lcd", "orthogonal"): ("orthogonality/text", 1),
    ("mid", "align"): ("delta_mid/batch", 1),
    ("mid", "frobenius"): ("etf_distance/cross/", 1),
}
SCRIPT = """
import os, sys
import torch, torch.distributed as dist
from safetensors.torch import save_file
from ncscope.features.processes import Spread
from tests.tuning import rows, test_same_measure
torch.set_num_threads(1)
dist.init_process_group("gloo")
spread = Spread(dist.get_rank(), dist.get_world_size())
found = {}
for accumulate in (1, 2):
    for i, case in enumerate(rows.CASES):
        value, gradients = test_same_measure.stepped(case, accumulate=accumulate, spread=spread)
        found |= {f"{accumulate} {i} value": value}
        found |= {f"{accumulate} {i} {n}": g for n, g in zip(("image", "text"), gradients)}
for i, case in enumerate(rows.CASES):
    for relative in (False, True):
        value, gradients = test_same_measure.in_a_trainer(case, spread=spread, relative=relative)
        found |= {f"DDP {relative} {i} value": value}
        found |= {f"DDP {relative} {i} {n}": g for n, g in zip(("image", "text"), gradients)}
if spread.first:
    save_file(found, sys.argv[1])
dist.barrier()
dist.destroy_process_group()
os._exit(0)  # torch's threads may abort a process that is taken down, after its work is done
"""


def stepped(case, tables=None, **how):
    """The term's value in a step that shows all images, shuffled, and its own gradients."""
    image, text = tables or rows.tables(case.counts)
    order = torch.randperm(len(image), generator=torch.Generator().manual_seed(4))
    found = []
    for objective in (case.objective, Objective()):
        setting = rows.setting_of(case, image, text, objective=objective, **how)
        found.append(step_gradients(setting, order, 0, new_loss(setting)))
    (whole, values, _), (plain, _, _) = found
    return values[case.term], [(a - b) / 0.7 for a, b in zip(whole, plain, strict=True)]


def measured(case, tables=None):
    """The same by the metrics."""
    leaves = [side.requires_grad_() for side in tables or rows.tables(case.counts)]
    value = rows.measure(case, *leaves)
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return value.detach(), list(gradients)


class Towers(torch.nn.Module):
    """Somebody's model: a table of rows for images and for text."""

    def __init__(self, image, text):
        super().__init__()
        self.image, self.text = torch.nn.Parameter(image), torch.nn.Parameter(text)

    def forward(self, shown, by_image):
        image, text = self.image[shown], 1 * self.text  # a result, not the parameter itself
        return image, rows.texts_of(image, text) if by_image else text


def in_a_trainer(case, *, spread=ALONE, relative=False):
    """The public loss and its gradients in a plain loop, under DistributedDataParallel if spread.

    The processes have shares of 5 and of all other images.
    """
    towers, labels = Towers(*rows.tables(case.counts)), rows.labels_of(case.counts)
    model = towers
    if spread.world > 1:
        model = torch.nn.parallel.DistributedDataParallel(towers, find_unused_parameters=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(4))
    shown = order.tensor_split([5])[spread.rank] if spread.world > 1 else order
    image, text = model(shown, case.by_image)
    weights = {f"{case.term}_weight": 1.0, f"{case.term}_form": case.form}
    npt = NPTLoss(centred=case.centred, num_classes=4, relative=relative, **weights)
    more = {}
    if relative:  # the square of all rows; of images a mean over processes of unequal shares
        near = image.square().sum() * spread.world
        near = near + text.square().sum() * (spread.world if case.by_image else 1)
        more = {"cross_entropy": near, "parameters": list(towers.parameters())}
    loss = npt(image, labels[shown], text, **more)
    loss.backward()
    sides = (towers.image, towers.text)
    found = [torch.zeros_like(side) if side.grad is None else side.grad for side in sides]
    return loss.detach() if relative else npt.terms[case.term], found


def assert_same(found, wanted, atol=1e-12):
    torch.testing.assert_close(found[0], wanted[0], rtol=0, atol=atol)
    for a, b in zip(found[1], wanted[1], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@every_case
@pytest.mark.parametrize("accumulate", [1, 5])
def test_the_loss_of_all_images_and_its_gradient_are_the_measures(case, accumulate):
    assert_same(stepped(case, accumulate=accumulate), measured(case))


@every_case
@pytest.mark.parametrize("accumulate", [1, 5])
def test_in_single_precision_too_even_against_the_measures_in_double(case, accumulate):
    tables = [side.float() for side in rows.tables(case.counts)]
    value, gradients = stepped(case, tables, accumulate=accumulate)
    found = value.double(), [gradient.double() for gradient in gradients]
    assert value.dtype == torch.float32
    assert_same(found, measured(case, [side.double() for side in tables]), atol=1e-6)


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    run_script(folder, SCRIPT, str(folder / "found.safetensors"))
    return load_file(folder / "found.safetensors")


@every_case
@pytest.mark.parametrize("accumulate", [1, 2])
def test_over_two_processes_too(case, accumulate, of_two_processes):
    value, image, text = (
        of_two_processes[f"{accumulate} {CASES.index(case)} {name}"]
        for name in ("value", "image", "text")
    )
    assert_same((value, [image, text]), measured(case))


@every_case
def test_in_a_trainer_of_ones_own_under_distributed_data_parallel_too(case, of_two_processes):
    for relative in (False, True):
        place = f"DDP {relative} {CASES.index(case)}"
        value, image, text = (of_two_processes[f"{place} {n}"] for n in ("value", "image", "text"))
        alone = in_a_trainer(case, relative=relative)
        assert_same((value, [image, text]), alone, atol=1e-12 if not relative else 1e-10)
        if not relative:
            assert_same(alone, measured(case))


@every_case
def test_a_later_step_has_the_measure_of_its_own_features_and_no_mean_of_old_ones(case):
    image, text = rows.tables(case.counts)
    setting = rows.setting_of(case, image, text)
    npt, everyone = new_loss(setting), torch.arange(len(image))
    step_gradients(setting, everyone, 0, npt)
    turned = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64).mul(2)).Q
    with torch.no_grad():
        setting.leaves[0].copy_(image @ turned + 1)
    _, values, _ = step_gradients(setting, everyone, 0, npt)
    wanted = rows.measure(case, image @ turned + 1, text)
    torch.testing.assert_close(values[case.term], wanted, rtol=0, atol=1e-12)


@every_case
def test_the_public_loss_in_evaluation_is_the_measure_after_any_training(case):
    image, text = rows.tables(case.counts)
    weights = {f"{case.term}_weight": 0.7, f"{case.term}_form": case.form}
    npt = NPTLoss(centred=case.centred, num_classes=4, **weights)
    for seed in (1, 2):
        labels = torch.tensor([0, 1, 0, 3])
        batch = torch.randn(4, 7, generator=torch.Generator().manual_seed(seed)).double()
        npt(batch, labels, rows.texts_of(batch, text) if case.by_image else text)
    npt.eval()
    texts = rows.texts_of(image, text) if case.by_image else text
    found = npt(image, rows.labels_of(case.counts), texts)
    wanted, _ = measured(case)
    torch.testing.assert_close(npt.terms[case.term], wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(found, 0.7 * wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if (c.term, c.form) in REPORTED], ids=str)
def test_a_report_of_the_same_features_has_the_loss_among_its_measures(case):
    image, text = rows.tables(case.counts)
    texts = rows.texts_of(image, text) if case.by_image else text
    features = Features(image, rows.labels_of(case.counts), texts, ("ash", "birch", "cedar", "elm"))
    name, sign = REPORTED[case.term, case.form]
    if name.endswith("/"):
        name += "centred" if case.centred else "raw"
    found = report(features, bootstrap=0).record["measures"][name]
    assert float(stepped(case)[0]) == pytest.approx(sign * found, abs=1e-10)


IDEAL = {"dispersion": -1.0, "orthogonal": 1 / 9}  # of a simplex ETF of four; the others' is 0


@every_shared
def test_collapsed_aligned_and_imbalanced_is_a_zero_of_the_loss_as_of_the_measure(case):
    etf, labels = metrics.simplex_etf(4, 7), rows.labels_of(case.counts)
    cone, other = torch.eye(7, dtype=torch.float64)[4:6]  # not in the span of the frame
    near = metrics.normalise_rows(etf + (cone if case.centred else 0))
    far = metrics.normalise_rows(0.4 * etf + (other if case.centred else 0))
    lengths = torch.linspace(9, 20, len(labels), dtype=torch.float64).unsqueeze(1)
    for accumulate in (1, 3):
        value, gradients = stepped(case, (lengths * far[labels], 7 * near), accumulate=accumulate)
        assert float(value) == pytest.approx(IDEAL.get(case.form, 0), abs=1e-12)
        if case.form not in ("log", "frobenius"):  # which have a kink there
            assert all(float(g.abs().max()) < 1e-8 for g in gradients)


@every_shared
def test_lengths_of_features_change_nothing(case):
    image, text = rows.tables(case.counts)
    value, (by_image, by_text) = stepped(case)
    longer, _ = stepped(case, (3 * image, text * torch.tensor([[0.1], [5], [30], [2.0]])))
    torch.testing.assert_close(longer, value, rtol=0, atol=1e-12)
    for rows_, gradient in ((image, by_image), (text, by_text)):
        assert float((rows_ * gradient).sum(dim=1).abs().max()) < 1e-12  # none along the rows


def test_every_form_is_among_the_cases():
    assert {(c.term, c.form) for c in CASES} == set(rows.FORMS)
    assert {c.form for c in CASES if c.centred} == {*rows.CENTRED["lcd"], *rows.CENTRED["mid"]}
    assert Case("mid", "push_pull", True, "imbalanced") in CASES
