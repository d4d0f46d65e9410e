import pytest
import torch
from torch.testing import assert_close

from ncscope.toy.making import towers
from ncscope.toy.making.shipping import Geometry, best_scale, measure_geometry, solve_shifts
from ncscope.toy.model import add_constant


def random_weights():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    weights = {}
    for norm, projection in (("ln_final", "text_projection"), ("visual.ln_post", "visual.proj")):
        weights |= {f"{norm}.weight": 1 + 0.2 * normal(64), f"{norm}.bias": 0.1 * normal(64)}
        weights[projection] = normal(64, 32)
    return weights


def project(weights, norm, projection, inputs):
    return towers._layer_norm(weights, norm, inputs) @ weights[projection]


@pytest.mark.parametrize(
    ("side", "norm", "projection"),
    [("text", "ln_final", "text_projection"), ("image", "visual.ln_post", "visual.proj")],
)
def test_every_feature_gets_exactly_the_constant(side, norm, projection):
    weights, inputs = random_weights(), torch.randn(7, 64)
    before = project(weights, norm, projection, inputs)
    shift = torch.linspace(-3, 3, 32)
    add_constant(weights, side, shift)
    assert_close(project(weights, norm, projection, inputs), before + shift, atol=1e-4, rtol=0)


def test_the_opposite_constant_undoes_it():
    weights, inputs = random_weights(), torch.randn(7, 64)
    before = project(weights, "ln_final", "text_projection", inputs)
    for sign in (1, -1):
        add_constant(weights, "text", sign * torch.linspace(-3, 3, 32))
    after = project(weights, "ln_final", "text_projection", inputs)
    assert_close(after, before, atol=1e-4, rtol=0)


def test_weights_stay_small():
    weights = random_weights()
    limits = {name: 2 * tensor.abs().max() for name, tensor in weights.items()}
    add_constant(weights, "text", torch.full((32,), 2.0))
    for name, tensor in weights.items():
        assert tensor.abs().max() <= limits[name], name


def random_pairs(count=300, width=32):
    generator = torch.Generator().manual_seed(1)
    common = torch.randn(count, width, generator=generator)
    return tuple(common + 0.7 * torch.randn(count, width, generator=generator) for _ in range(2))


def test_the_shifts_give_the_wanted_geometry():
    text, image = random_pairs()
    wanted = Geometry()
    shifts = solve_shifts(text, image, wanted)
    got = measure_geometry(text + shifts["text"], image + shifts["image"])
    assert got.text == pytest.approx(wanted.text, abs=1e-4)
    assert got.image == pytest.approx(wanted.image, abs=1e-4)
    assert got.gap == pytest.approx(wanted.gap, abs=1e-4)


def test_geometry_is_that_of_the_loop_over_pairs():
    text, image = random_pairs(20, 5)
    got = measure_geometry(text, image)
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in (text.double(), image.double())]
    others = [(a, b) for a in range(20) for b in range(20) if a != b]
    assert got.text == pytest.approx(sum((unit[0][a] @ unit[0][b]).item() for a, b in others) / 380)
    assert got.paired == pytest.approx(sum((t @ i).item() for t, i in zip(*unit, strict=True)) / 20)
    assert got.gap == pytest.approx((unit[0].mean(0) - unit[1].mean(0)).norm().item())


def test_the_best_scale_has_the_smallest_loss():
    text, image = random_pairs(100)
    unit = [torch.nn.functional.normalize(rows) for rows in (text, image)]

    def loss(scale):
        logits = scale * unit[0] @ unit[1].T
        own = torch.arange(100)
        cross = torch.nn.functional.cross_entropy
        return (cross(logits, own) + cross(logits.T, own)).item()

    best = best_scale(text, image)
    assert 10 < best < 100
    assert loss(best) <= min(loss(best * 0.95), loss(best * 1.05))
