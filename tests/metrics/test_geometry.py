import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    cosine_summary,
    delta_lcd,
    equiangular,
    equinorm,
    etf_distance,
    gnc2,
    gram_distance,
    max_angle,
    one_vs_rest_distance,
    uniformity,
)
from tests import reference
from tests.metrics.descent import descend
from tests.shapes import (
    ETF_SIZES,
    equicorrelated,
    orthoplex,
    random_rotation,
    random_rows,
    simplex_etf,
    unit_rows,
)

seeds = st.integers(0, 2**31 - 1)
sides = pytest.mark.parametrize("centred", [False, True])
MEASURES = {
    "etf_distance": etf_distance,
    "delta_lcd": delta_lcd,
    "delta_lcd power 2": lambda rows, centred: delta_lcd(rows, power=2, centred=centred),
    "delta_lcd rms": lambda rows, centred: delta_lcd(rows, form="cosine_rms", centred=centred),
    "equiangular": equiangular,
    "gnc2 log": lambda rows, centred: gnc2(rows, centred=centred)[0],
    "gnc2 dist": lambda rows, centred: gnc2(rows, kernel="dist", centred=centred)[0],
    "gnc2 riesz": lambda rows, centred: gnc2(rows, kernel="riesz", centred=centred)[0],
    "equinorm": equinorm,
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
COLLAPSE = list(MEASURES.values())[:5]


def zero(**options):
    return torch.zeros((), **options)


@sides
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["f64", "f32"]
)
@pytest.mark.parametrize(("num_classes", "width"), ETF_SIZES)
def test_simplex_etf_is_fully_collapsed(num_classes, width, centred, dtype, tolerance):
    frame = simplex_etf(num_classes, width).to(dtype)
    for measure in COLLAPSE:
        assert_close(measure(frame, centred=centred), zero(dtype=dtype), atol=tolerance, rtol=0)
    assert_close(equinorm(frame, centred=centred), zero(dtype=dtype), atol=tolerance, rtol=0)


@sides
@pytest.mark.parametrize(("num_classes", "width"), ETF_SIZES)
def test_simplex_etf_has_the_stated_angles_and_kernels(num_classes, width, centred):
    frame = simplex_etf(num_classes, width)
    found = cosine_summary(frame, centred=centred)
    for name in ("mean", "min", "max"):
        assert found[name].item() == pytest.approx(-1 / (num_classes - 1), abs=1e-12)
    assert found["std"].item() == pytest.approx(0, abs=1e-12)
    angle = math.acos(-1 / (num_classes - 1))
    assert found["min_angle"].item() == pytest.approx(angle, abs=1e-7)
    kernel = gnc2(frame, centred=centred)[0].item()
    assert kernel == pytest.approx(-0.5 * math.log(2 * num_classes / (num_classes - 1)))
    spread = uniformity(frame).item()
    assert spread == pytest.approx(-4 * num_classes / (num_classes - 1))


@pytest.mark.parametrize(
    ("num_classes", "distance"), [(5, 0.4595), (10, 0.3204), (50, 0.1418), (500, 0.0447)]
)
def test_orthonormal_rows_are_an_etf_only_once_centred(num_classes, distance):
    rows = torch.eye(num_classes).double()
    assert delta_lcd(rows).item() == pytest.approx(1 / (num_classes - 1))
    assert etf_distance(rows).item() == pytest.approx(distance, abs=5e-5)
    exact = math.sqrt(2 - 2 * math.sqrt(1 - 1 / num_classes))
    assert etf_distance(rows).item() == pytest.approx(exact)
    assert delta_lcd(rows, centred=True).item() == pytest.approx(0, abs=1e-12)
    assert etf_distance(rows, centred=True).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rows_are_the_farthest_and_have_no_centred_value(dtype):
    rows = unit_rows(1, 40).repeat(7, 1).to(dtype)
    assert delta_lcd(rows).item() == pytest.approx(7 / 6)
    assert etf_distance(rows).item() == pytest.approx(math.sqrt(2))
    for measure in COLLAPSE:
        assert measure(rows, centred=True).isnan()
    assert equinorm(rows, centred=True).isnan()


@pytest.mark.parametrize(
    ("cosine", "distance"), [(0, 0.142), (0.3, 1.185), (0.6, 1.348), (0.75, 1.381)]
)
def test_equicorrelated_rows_have_the_distances_of_the_table(cosine, distance):
    rows = equicorrelated(50, cosine)
    assert etf_distance(rows).item() == pytest.approx(distance, abs=5e-4)
    assert etf_distance(rows, centred=True).item() == pytest.approx(0, abs=1e-9)
    assert equiangular(rows).item() == pytest.approx(0, abs=1e-12)


def test_random_rows_have_the_values_of_the_table():
    rows = [unit_rows(50, 512, seed=seed) for seed in range(5)]
    closed_form = math.sqrt(2 - 2 * 7 / math.sqrt(50 + 50 * 49 / 512))  # m = 0, s^2 = 1/D: 0.3295
    for row in rows:
        assert etf_distance(row).item() == pytest.approx(closed_form, abs=0.01)
        assert delta_lcd(row).item() == pytest.approx(0.040, abs=0.003)


@given(seeds, st.integers(2, 12), st.integers(2, 9))
def test_raw_distance_is_its_closed_form_in_mean_and_std_of_the_cosines(seed, num_classes, width):
    rows = unit_rows(num_classes, width, seed=seed)
    found = cosine_summary(rows)
    m, s, k = found["mean"], found["std"], num_classes
    square = 2 - 2 * (1 - m) * (k - 1) ** 0.5 / (k + k * (k - 1) * (m**2 + s**2)).sqrt()
    assert_close(etf_distance(rows).square(), square, rtol=1e-9, atol=1e-12)


@sides
@given(seed=seeds, num_classes=st.integers(3, 9), width=st.integers(2, 9))
def test_every_measure_is_the_loop_over_pairs(centred, seed, num_classes, width):
    rows = random_rows(num_classes, width, seed=seed)
    same = reference.centred(rows.numpy()) if centred else rows.numpy()
    found = {name: f(rows, centred=centred).item() for name, f in MEASURES.items() if width > 2}
    if width == 2:  # no Riesz kernel on the circle
        return
    assert found["etf_distance"] == pytest.approx(reference.etf_distance(same))
    for name, power in {"delta_lcd": 1, "delta_lcd power 2": 2}.items():
        assert found[name] == pytest.approx(reference.delta_lcd(same, power))
    assert found["delta_lcd rms"] == pytest.approx(reference.delta_lcd(same, 2) ** 0.5)
    cosines = reference.pair_cosines(same)
    assert found["equiangular"] == pytest.approx(cosines.std())
    norms = (same**2).sum(axis=1) ** 0.5
    assert found["equinorm"] == pytest.approx(reference.variation(norms))
    for kernel in ("log", "dist"):
        mean, variance = reference.kernel_mean_and_variance(same, kernel)
        values = gnc2(rows, kernel=kernel, centred=centred)
        assert [v.item() for v in values] == pytest.approx([mean, variance])
    summary = cosine_summary(rows, centred=centred)
    expected = [cosines.mean(), cosines.std(), cosines.min(), cosines.max()]
    assert [summary[n].item() for n in ("mean", "std", "min", "max")] == pytest.approx(expected)
    assert summary["min_angle"].item() == pytest.approx(math.acos(cosines.max()))


@given(seeds, st.integers(3, 9))
def test_power_two_is_squared_mean_gap_plus_variance(seed, num_classes):
    rows = random_rows(num_classes, 5, seed=seed)
    found = cosine_summary(rows)
    expected = (found["mean"] + 1 / (num_classes - 1)).square() + found["std"].square()
    assert_close(delta_lcd(rows, power=2), expected)


def test_frobenius_form_and_max_angle_are_other_names():
    rows = random_rows(6, 9)
    assert_close(delta_lcd(rows, form="frobenius"), etf_distance(rows), rtol=0, atol=0)
    assert_close(max_angle(rows, centred=True), delta_lcd(rows, centred=True), rtol=0, atol=0)
    assert_close(gram_distance(rows @ rows.T), etf_distance(rows), rtol=0, atol=0)


def test_equinorm_of_log_norms():
    rows = random_rows(6, 9)
    expected = reference.variation(rows.norm(dim=1).log().numpy())
    assert equinorm(rows, log=True).item() == pytest.approx(expected)


@pytest.mark.parametrize("width", [3, 64, 512])
def test_riesz_kernel_survives_the_width_of_clip(width):
    rows = unit_rows(12, width)
    rows[1] = rows[0] + 0.3 * rows[1]  # a near pair: 1 / distance^510 is about 1e270
    found = gnc2(rows.float(), kernel="riesz", centred=False)
    assert all(value.dtype == torch.float64 for value in found)
    expected = reference.log_riesz(rows.numpy())
    assert [v.item() for v in found] == pytest.approx(expected, rel=1e-4)
    found = gnc2(rows, kernel="riesz", centred=False)
    assert [v.item() for v in found] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kernel", ["log", "riesz"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_equal_rows_have_infinite_energy(kernel, dtype):
    rows = random_rows(8, 33).to(dtype)
    rows[5] = rows[2] * 3
    assert gnc2(rows, kernel=kernel, centred=False)[0].item() == math.inf


@pytest.mark.parametrize("kernel", ["log", "dist"])
def test_near_rows_keep_their_kernel_in_float32(kernel):
    rows = unit_rows(2, 33)
    rows[1] = rows[0] + 1e-3 * rows[1]  # squared, a hundred times the rounding of a cosine
    expected, _ = reference.kernel_mean_and_variance(rows.float().double().numpy(), kernel)
    found, _ = gnc2(rows.float(), kernel=kernel, centred=False)
    assert found.item() == pytest.approx(expected, rel=3e-4)


@sides
@every_measure
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m * 0.01, id="scale"),
        pytest.param(lambda m: m @ random_rotation(m.shape[1]), id="rotation"),
        pytest.param(lambda m: m * torch.tensor([-1.0] + [1.0] * 7).double(), id="reflection"),
        pytest.param(lambda m: m.flip(0), id="class order"),
    ],
)
def test_does_not_see_scale_rotation_or_class_order(change, measure, centred):
    rows = random_rows(6, 8)
    assert_close(measure(change(rows), centred=centred), measure(rows, centred=centred))


@every_measure
def test_only_the_raw_version_sees_a_common_shift(measure):
    rows = random_rows(6, 8)
    assert_close(measure(rows + 1e3, centred=True), measure(rows, centred=True))
    assert abs(measure(rows + 1e3, centred=False) - measure(rows, centred=False)) > 0.1


@every_measure
@sides
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(measure, centred, dtype):
    rows = random_rows(6, 8).to(dtype)
    found = measure(rows, centred=centred)
    assert_close(found, measure(rows.float(), centred=centred), rtol=0, atol=0)


@every_measure
def test_float64_stays_float64_and_the_result_is_a_scalar(measure):
    found = measure(random_rows(4, 5), centred=False)
    assert found.dtype == torch.float64
    assert found.ndim == 0


@every_measure
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_a_zero_or_undefined_row_is_never_read_as_a_number(measure, value):
    rows = random_rows(5, 8)
    rows[3] = value
    found = measure(rows, centred=False)
    if value == 0 and measure in (etf_distance, equinorm):  # which need no direction
        assert found.isfinite()
    else:
        assert found.isnan()


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(1, 4), torch.zeros(3, 4).long()])
@pytest.mark.parametrize("measure", [etf_distance, delta_lcd, max_angle, equinorm, equiangular])
def test_refuses_what_is_not_class_rows(measure, bad):
    with pytest.raises(ShapeError, match=r"must be a floating \(K, D\) tensor with K >= 2; got"):
        measure(bad)


def test_unknown_names_list_the_known_ones():
    rows = random_rows(3, 4)
    with pytest.raises(ShapeError, match=r"unknown form 'cos' .* cosine, cosine_rms, frobenius"):
        delta_lcd(rows, form="cos")  # pyright: ignore
    with pytest.raises(ShapeError, match=r"unknown kernel 'gauss' .* log, dist, riesz"):
        gnc2(rows, kernel="gauss")  # pyright: ignore
    with pytest.raises(ShapeError, match=r"needs D > 2; got D = 2"):
        gnc2(rows[:, :2], kernel="riesz")


@sides
def test_two_classes_are_an_etf_by_construction_once_centred(centred):
    rows = unit_rows(2, 6)
    if centred:
        assert [m(rows, centred=True).item() for m in COLLAPSE] == pytest.approx([0] * 5, abs=1e-12)
        assert equinorm(rows, centred=True).item() == pytest.approx(0, abs=1e-12)
    else:
        assert delta_lcd(rows).item() == pytest.approx(1 + reference.pair_cosines(rows.numpy())[0])


def test_descent_on_it_reaches_a_simplex_etf():
    rows = random_rows(5, 8).requires_grad_()
    descend(lambda: delta_lcd(rows, power=2), rows)
    assert delta_lcd(rows).item() < 1e-6
    unit = torch.nn.functional.normalize(rows.detach())
    assert etf_distance(unit).item() < 1e-6


@pytest.mark.parametrize(("num_classes", "width"), [(2, 2), (5, 4), (10, 64)])
def test_simplex_etf_has_the_closed_form(num_classes, width):
    found = one_vs_rest_distance(simplex_etf(num_classes, width))
    expected = num_classes / (num_classes - 1) * torch.ones(num_classes).double()
    assert_close(found, expected, rtol=1e-12, atol=0)


def test_orthoplex_and_inner_points():
    # The hull of the other axes holds the origin, and nothing nearer to a corner than it.
    assert_close(one_vs_rest_distance(orthoplex(3)), torch.ones(6).double())
    line = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).double()
    expected = torch.tensor([0, 2**0.5, 0], dtype=torch.float64)
    assert_close(one_vs_rest_distance(line), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("num_classes", "width"), [(4, 6), (6, 3)])
def test_distance_is_the_one_a_general_minimiser_finds(num_classes, width, seed):
    points = unit_rows(num_classes, width, seed=seed).numpy()
    found = one_vs_rest_distance(torch.tensor(points))
    for index in range(num_classes):
        others = np.delete(points, index, axis=0)
        result = minimize(
            lambda w: np.sum((w @ others - points[index]) ** 2),  # noqa: B023
            np.full(num_classes - 1, 1 / (num_classes - 1)),
            bounds=[(0, 1)] * (num_classes - 1),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14},
        )
        assert found[index].item() == pytest.approx(result.fun**0.5, abs=1e-5)


def test_scale_is_not_seen_but_centring_is_an_option():
    rows = random_rows(5, 8)
    lengths = torch.linspace(0.1, 3, 5).double().unsqueeze(1)
    assert_close(one_vs_rest_distance(rows * lengths), one_vs_rest_distance(rows))
    centred = one_vs_rest_distance(rows - rows.mean(dim=0))
    assert_close(one_vs_rest_distance(rows + 7, centred=True), centred)


def test_dtype_follows_the_input_and_a_zero_row_is_undefined():
    rows = random_rows(4, 5)
    assert one_vs_rest_distance(rows.float()).dtype == torch.float32
    assert one_vs_rest_distance(rows.bfloat16()).dtype == torch.float32
    rows[2] = 0
    assert one_vs_rest_distance(rows).isnan().all()
