import hashlib
import shutil

import numpy as np
import pytest
import torch
from open_clip import tokenize
from torch.testing import assert_close

from ncscope.clip.prompts import class_prompts
from ncscope.errors import BackboneError
from ncscope.toy.images import toy_images
from ncscope.toy.making import towers
from ncscope.toy.making.evaluate import evaluate_task
from ncscope.toy.making.lessons import normalised
from ncscope.toy.making.shipping import measure_geometry
from ncscope.toy.model import (
    END,
    FULL_SIZE,
    NAME,
    SHIPPED,
    add_constant,
    expand_embedding,
    full_weights,
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


def test_known_rows_stand_in_place_and_unknown_ones_are_small_and_fixed():
    pieces = torch.tensor([3, 700, END])
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)) + 5
    full = expand_embedding(rows, pieces)
    assert full.shape == (FULL_SIZE, 16)
    assert_close(full[pieces], rows)
    others = torch.ones(FULL_SIZE, dtype=torch.bool).index_fill(0, pieces, False)
    assert_close(full[others].std(), torch.tensor(0.02), atol=1e-4, rtol=0)
    assert_close(expand_embedding(rows, pieces), full)
