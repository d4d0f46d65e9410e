import hashlib
import shutil

import numpy as np
import pytest
import torch
from open_clip import tokenize
from open_clip.tokenizer import SimpleTokenizer
from torch.testing import assert_close

from ncscope.clip.prompts import class_prompts
from ncscope.errors import BackboneError
from ncscope.toy.images import toy_images
from ncscope.toy.making import towers
from ncscope.toy.making.evaluate import evaluate_task
from ncscope.toy.making.lessons import normalised
from ncscope.toy.making.shipping import Geometry, best_scale, measure_geometry, solve_shifts
from ncscope.toy.model import (
    END,
    FULL_SIZE,
    NAME,
    SHIPPED,
    START,
    add_constant,
    compact_tokens,
    expand_embedding,
    full_weights,
    known_pieces,
    load_toy_clip,
    name_warnings,
    provenance,
    read_stored,
    unknown_names,
)
from ncscope.toy.tasks import TASKS


@pytest.fixture(scope="module")
def toy():
    return load_toy_clip()


def test_the_file_is_small_and_the_one_that_was_recorded():
    content = (SHIPPED / NAME).read_bytes()
    assert len(content) == provenance()["bytes"] < 8_000_000
    assert hashlib.sha256(content).hexdigest() == provenance()["sha256"]


def test_the_provenance_says_that_the_geometry_is_installed():
    made = provenance()
    assert made["geometry"] == "installed"
    assert made["steps"] == sum(
        made["curriculum"][f"{stage}_steps"] for stage in ("warm_up", "contrastive", "settling")
    )
    assert made["losses"][-1]["step"] == made["steps"] - 1
    assert set(TASKS) <= set(made["evaluation"]["tasks"])


def test_it_is_a_clip_of_openais_architecture_nine_blocks_deep(toy):
    config = toy.description["architecture"]
    assert config["quick_gelu"] is True
    assert (config["vision_cfg"]["layers"], config["text_cfg"]["layers"]) == (9, 9)
    assert config["text_cfg"]["vocab_size"] == FULL_SIZE
    assert (toy.width, toy.context_length, toy.image_size) == (128, 77, 40)
    assert not any("random" in warning for warning in toy.description["warnings"])


@pytest.mark.parametrize("task", ["textures", "scenes", "fish"])
def test_the_weights_give_the_recorded_evaluation(toy, task):
    recorded = provenance()["evaluation"]
    row = evaluate_task(toy, task, seed=recorded["seed"], per_class=recorded["per_class"])
    wanted = recorded["tasks"][task]
    for part in ("zero_shot", "base", "new"):
        assert getattr(row, part) == pytest.approx(wanted[part], abs=1.5), part
    for measure in ("text_cosine", "gap", "delta_lcd", "delta_mid"):
        assert getattr(row, measure) == pytest.approx(wanted[measure], abs=0.01), measure


def test_the_recorded_accuracies_meet_the_quality_bar():
    tasks = [provenance()["evaluation"]["tasks"][name] for name in TASKS]
    assert 35 < np.mean([task["zero_shot"] for task in tasks]) < 85
    for task in tasks:
        assert task["zero_shot"] > 5 * task["chance"], task["task"]
    chance_of_new = [100 / (task["classes"] // 2) for task in tasks]
    assert np.mean([task["new"] for task in tasks]) > 5 * np.mean(chance_of_new)


def test_pairs_never_seen_in_pretraining_are_recognised():
    tasks = provenance()["evaluation"]["tasks"]
    for name in ("colshape", "texshape"):
        assert min(tasks[name]["base"], tasks[name]["new"]) > 50


def test_images_are_preprocessed_as_in_pretraining(toy):
    images = toy_images("shapes", per_class=1)
    pictures = torch.from_numpy(np.stack([np.asarray(images.load(i)) for i in range(3)]))
    transformed = torch.stack([toy.preprocess(images.load(i)) for i in range(3)])
    assert_close(transformed, normalised(pictures))


def test_the_training_towers_compute_what_the_backbone_does(toy):
    images = toy_images("shapes", per_class=1)
    pixels = torch.stack([toy.preprocess(images.load(i)) for i in range(4)])
    weights, texts = full_weights(read_stored()), class_prompts(images.classnames[:4])
    assert_close(toy.encode_image(pixels), towers.encode_image(weights, pixels), atol=1e-4, rtol=0)
    with torch.no_grad():
        ours = towers.encode_text(weights, tokenize(texts))
    assert_close(toy.encode_text(texts), ours, atol=1e-4, rtol=0)


def test_every_word_of_every_task_is_known():
    known = set(read_stored()["pieces"].tolist())
    for task in TASKS.values():
        used = tokenize(class_prompts(task.classnames, task.template)).unique().tolist()
        assert set(used) - {0} <= known, task.name


def test_names_without_a_known_word_are_found(toy):
    assert unknown_names(["red star", "axolotl", "striped axolotl"], toy) == ["axolotl"]


def test_a_warning_names_them_where_the_backbone_is_the_toy(toy):
    names = ["red star", "axolotl"]
    assert name_warnings(names, toy) == [
        "the toy CLIP knows no word of 1 of 2 class names (axolotl): their text features mean "
        "nothing"
    ]
    assert name_warnings(names[:1], toy) == []
    assert name_warnings(names, None) == []


def test_without_the_installed_geometry_the_cone_is_gone_and_accuracy_stays(toy):
    plain = load_toy_clip(installed=False)
    names = class_prompts(TASKS["source"].classnames)
    images = toy_images("source", per_class=1)
    pixels = torch.stack([toy.preprocess(images.load(i)) for i in range(len(images))])
    installed, without = (
        measure_geometry(model.encode_text(names), model.encode_image(pixels))
        for model in (toy, plain)
    )
    assert without.text < installed.text - 0.2
    assert without.gap < installed.gap - 0.2
    found = [evaluate_task(model, "source", per_class=4).zero_shot for model in (toy, plain)]
    assert found[0] == pytest.approx(found[1], abs=8)


def test_a_damaged_file_is_refused(tmp_path):
    for path in SHIPPED.iterdir():
        shutil.copy(path, tmp_path)
    content = bytearray((tmp_path / NAME).read_bytes())
    content[-1] ^= 1
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(
        BackboneError, match=r"sha256 .* the file is damaged; install ncscope again"
    ):
        load_toy_clip(folder=tmp_path)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(BackboneError, match="toy CLIP cannot be read"):
        load_toy_clip(folder=tmp_path)


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


ENCODE = SimpleTokenizer().encode


def test_known_pieces_are_those_of_the_words_and_the_distractors():
    pieces = known_pieces(["a red star.", "star"], ENCODE, distractors=10)
    wanted = {*ENCODE("a red star."), *ENCODE("star"), START, END}
    assert wanted <= set(pieces.tolist())
    assert len(pieces) == len(wanted) + 10
    assert np.array_equal(pieces, np.unique(pieces))


def test_compact_tokens_pool_at_the_end_of_text_as_the_full_ones_do():
    texts = ["a red star.", "one fish", "a photo of a large orange tree."]
    pieces = known_pieces(texts, ENCODE, distractors=20)
    compact = compact_tokens([ENCODE(text) for text in texts], pieces, length=77)
    full = SimpleTokenizer()(texts, context_length=77)
    assert torch.equal(compact.argmax(dim=1), full.argmax(dim=1))
    padded = full == 0
    assert torch.equal(torch.from_numpy(pieces)[compact][~padded], full[~padded])


def test_captions_that_are_too_long_are_cut_before_the_end_of_text():
    pieces = known_pieces(["star"], ENCODE, distractors=0)
    tokens = compact_tokens([ENCODE("star") * 9], pieces, length=5)
    assert tokens[0].argmax() == 4


def test_known_rows_stand_in_place_and_unknown_ones_are_small_and_fixed():
    pieces = torch.tensor([3, 700, END])
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)) + 5
    full = expand_embedding(rows, pieces)
    assert full.shape == (FULL_SIZE, 16)
    assert_close(full[pieces], rows)
    others = torch.ones(FULL_SIZE, dtype=torch.bool).index_fill(0, pieces, False)
    assert_close(full[others].std(), torch.tensor(0.02), atol=1e-4, rtol=0)
    assert_close(expand_embedding(rows, pieces), full)
