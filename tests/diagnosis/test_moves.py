"""Each move reaches what it is named after, leaves alone what it must, and needs no labels."""

import pytest
import torch
from sklearn.covariance import oas

import ncscope.metrics as metrics
from ncscope.diagnosis.moves import MOVES, Seen, regularised, rotation_onto, simplex_near
from tests.shapes import simplex_etf

every_move = pytest.mark.parametrize("name", list(MOVES))


def seen(classes: int = 6, width: int = 12, *, present: list[int] | None = None, seed: int = 0):
    """Text in a cone, image means in another, scatter of forty images."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(classes, width, generator=draw, dtype=torch.float64)
    text = metrics.normalise_rows(rows + 1)
    shown = torch.arange(classes) if present is None else torch.tensor(present)
    noise = torch.randn(len(shown), width, generator=draw, dtype=torch.float64)
    means = metrics.normalise_rows(rows[shown] + 0.4 * noise - 1)
    rest = torch.randn(40, width, generator=draw, dtype=torch.float64) * torch.linspace(
        0.1, 2, width
    )
    return Seen(text, shown, means, rest.T @ rest / 40, 34)


@every_move
def test_step_zero_is_the_untouched_features(name):
    of = seen()
    text, image = MOVES[name].apply(of, of.means, 0.0)
    torch.testing.assert_close(text, of.text, atol=1e-12, rtol=0)
    torch.testing.assert_close(image, of.means, atol=1e-12, rtol=0)


@every_move
def test_a_turned_space_turns_what_comes_out(name):
    of = seen()
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    turned = Seen(of.text @ turn, of.present, of.means @ turn, turn.T @ of.scatter @ turn, 34)
    plain = MOVES[name].apply(of, of.means, 0.6)
    for one, other in zip(MOVES[name].apply(turned, turned.means, 0.6), plain, strict=True):
        torch.testing.assert_close(one, other @ turn, atol=1e-9, rtol=0)


@every_move
def test_an_image_is_moved_alone(name):
    of = seen()
    together = MOVES[name].apply(of, of.means, 0.7)[1]
    alone = MOVES[name].apply(of, of.means[2:3], 0.7)[1]
    torch.testing.assert_close(alone[0], together[2])


@pytest.mark.parametrize("name", ["close_gap", "centre_both"])
def test_the_gap_is_closed_before_rows_are_normalised(name):
    of = seen()
    text, image = MOVES[name].apply(of, of.means, 1.0)
    torch.testing.assert_close(text.mean(0), image.mean(0), atol=1e-12, rtol=0)


def test_half_the_step_closes_half_the_gap():
    of = seen()
    gap = of.text_centre - of.image_centre
    text, image = MOVES["close_gap"].apply(of, of.means, 0.5)
    torch.testing.assert_close(text.mean(0) - image.mean(0), gap / 2)


def test_a_centred_side_has_no_mean():
    of = seen()
    assert float(MOVES["centre_text"].apply(of, of.means, 1.0)[0].mean(0).norm()) < 1e-12
    assert float(MOVES["centre_images"].apply(of, of.means, 1.0)[1].mean(0).norm()) < 1e-12


@pytest.mark.parametrize("name", ["snap_text", "snap_to_images"])
def test_a_snapped_text_is_a_simplex(name):
    of = seen()
    text, _ = MOVES[name].apply(of, of.means, 1.0)
    assert float(metrics.delta_lcd(text)) < 1e-12


def test_an_exact_simplex_stays_where_it_is():
    frame = simplex_etf(6, 12).double()
    of = Seen(frame, torch.arange(6), frame, torch.eye(12, dtype=torch.float64), 30)
    for name in MOVES:
        text, image = MOVES[name].apply(of, frame, 1.0)
        torch.testing.assert_close(text, frame, atol=1e-9, rtol=0, msg=name)
        torch.testing.assert_close(image, frame, atol=1e-9, rtol=0, msg=name)


def test_text_on_the_means_is_self_dual():
    of = seen()
    text, _ = MOVES["text_to_means"].apply(of, of.means, 1.0)
    assert float(metrics.delta_mid(of.means, text)) < 1e-12
    assert float(metrics.self_duality(of.means, text)) < 1e-7  # these means are of one length


def test_text_keeps_its_angles_when_it_is_turned_and_no_small_turn_comes_nearer():
    of = seen()
    text, _ = MOVES["rotate_text"].apply(of, of.means, 1.0)
    kept = metrics.pairwise_cosines(of.text, centred=True)
    torch.testing.assert_close(metrics.pairwise_cosines(text, centred=True), kept)
    goal, now = metrics.centre_rows(of.means), metrics.centre_rows(text)
    best = float((now - goal).norm())
    for _ in range(20):
        skew = 0.05 * torch.randn(12, 12, dtype=torch.float64)
        assert float((now @ torch.linalg.matrix_exp(skew - skew.T) - goal).norm()) >= best


def test_a_rotation_leaves_free_directions_alone():
    rows = torch.zeros(3, 8, dtype=torch.float64)
    rows[:, :3] = torch.randn(3, 3, dtype=torch.float64)
    turn = rotation_onto(rows, rows)
    torch.testing.assert_close(turn, torch.eye(8, dtype=torch.float64), atol=1e-9, rtol=0)


def test_classes_without_an_image_keep_their_text_where_it_takes_one():
    of = seen(present=[0, 2, 3, 5])
    text, _ = MOVES["text_to_means"].apply(of, of.means, 1.0)
    torch.testing.assert_close(text[[1, 4]], of.text[[1, 4]])
    assert float(metrics.delta_mid(of.means, text[of.present])) < 1e-12


def test_more_classes_than_a_simplex_holds_come_to_the_floor():
    rows = torch.randn(40, 6, dtype=torch.float64)
    frame = simplex_near(rows)
    before, after = (float(metrics.etf_distance(r, centred=True)) for r in (rows, frame))
    assert metrics.etf_distance_floor(40, 6) <= after < before
    torch.testing.assert_close(frame.norm(dim=1), torch.ones(40, dtype=torch.float64))


def test_whitening_makes_the_scatter_round_and_keeps_the_spread_of_the_means():
    of = seen(classes=12, width=12)
    _, means = MOVES["whiten"].apply(of, of.means, 1.0)
    spread = metrics.centre_rows(of.means).norm()
    torch.testing.assert_close(metrics.centre_rows(means).norm(), spread)
    rest = torch.linalg.cholesky(regularised(of.scatter, of.freedom)).T  # rows of that covariance
    moved = MOVES["whiten"].apply(of, rest + of.image_centre, 1.0)[1] - of.image_centre
    values = torch.linalg.eigvalsh(moved.T @ moved)
    torch.testing.assert_close(values, values.mean().expand(12), rtol=1e-6, atol=0)


def test_the_covariance_is_regularised_as_scikit_learn_does():
    rows = torch.randn(25, 8, dtype=torch.float64) * torch.linspace(0.2, 3, 8)
    wanted, _ = oas(rows.numpy(), assume_centered=True)
    torch.testing.assert_close(regularised(rows.T @ rows / 25, 25), torch.from_numpy(wanted))
