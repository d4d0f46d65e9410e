"""Options of single methods: taken into what is trained, refused elsewhere and out of range."""

import json

import pytest
import torch

import ncscope
from ncscope.checkpoint.inspect import inspect
from ncscope.errors import DataError
from ncscope.toy.model import load_toy_clip
from ncscope.tuning.objective import cluster_notes
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.recipe import recipe_of
from tests.pictures import save_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def tune(method, data, **options):
    given = {"recipe": "toy", "shots": 2, "epochs": 2, "log_every": 1, **options}
    return ncscope.tune(method, data=data, backbone=load_toy_clip(), cache="off", **given)


def learned(tuned):
    features = next(iter(tuned.features.values()))
    return torch.cat([features.text.flatten(), features.image.flatten()])


CHANGES = {
    "prograd": {"prograd_lambda": 0.0},
    "kgcoop": {"knowledge_weight": 1.0},
    "promptsrc": {"scl_text": 0.0, "scl_image": 0.0, "scl_logits": 0.0},
    "taskres": {"residual_scale": 1.0},
    "clip-adapter": {"adapter_ratio": 0.9},
}


@pytest.mark.parametrize("method", CHANGES)
def test_an_option_of_a_method_changes_what_is_trained_and_is_written_down(method, data, tmp_path):
    more = {"batch_size": 4, "epochs": 4, "lr": 0.3} if method == "prograd" else {}
    plain = tune(method, data, **more)
    changed = tune(method, data, out=tmp_path / "run", **more, **CHANGES[method])
    if method != "prograd":  # where no gradients oppose, nothing is taken out
        assert not torch.equal(learned(plain), learned(changed))
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert {name: config[name] for name in CHANGES[method]} == CHANGES[method]


def test_averaging_is_in_epochs_that_options_say(data):
    first, last = (tune("promptsrc", data, gpa_mean=m, gpa_std=0.01) for m in (1.0, 2.0))
    assert not torch.equal(learned(first), learned(last))


@pytest.mark.parametrize("method", ["taskres", "clip-adapter"])
def test_a_scale_that_was_said_is_read_again_from_the_run(method, data, tmp_path):
    tuned = tune(method, data, out=tmp_path / "run", **CHANGES[method])
    log = inspect(tmp_path / "run").log
    assert log is not None
    features = ncscope.extract(
        tmp_path / "run", data=data, split="base", backbone=load_toy_clip(), cache="off"
    )
    own = tuned.features[f"{data} base"]
    assert own.text is not None
    assert features.text is not None
    torch.testing.assert_close(features.text, own.text, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.image, own.image, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "said", "message"),
    [
        ("coop", {"knowledge_weight": 0.0}, "`knowledge_weight` has no effect on coop"),
        ("kgcoop", {"knowledge_weight": -1.0}, "`knowledge_weight` is -1.0; expected 0 or more"),
        ("prograd", {"prograd_lambda": 1.5}, "`prograd_lambda` is 1.5; expected 0 to 1"),
        ("clip-adapter", {"adapter_ratio": float("nan")}, "`adapter_ratio` is nan; expected 0 to"),
        ("promptsrc", {"gpa_std": 0.0}, "`gpa_std` is 0.0; expected a number of epochs above 0"),
        ("promptsrc", {"scl_text": float("inf")}, "`scl_text` is inf; expected 0 or more"),
        ("maple", {"residual_scale": 1.0}, "`residual_scale` has no effect on maple; it is for t"),
        ("clip-adapter", {"lcd_weight": 1.0}, "`lcd_weight` is 1, and clip-adapter trains no text"),
        ("vpt", {"lcd_weight": 0.1}, "`lcd_weight` is 0.1, and vpt trains no text, of which this"),
        ("coop", {"mid_weight": 1.0, "mid_form": "anchored"}, "coop trains no images: it would do"),
        ("tip-adapter-f", {"regulariser": "cpt"}, "tip-adapter-f trains its cache, and neither te"),
        ("runs/x", {"adapter_ratio": 0.3}, "`adapter_ratio` has no effect on 'runs/x'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(method, said, message):
    with pytest.raises(DataError) as refused:
        TuneOptions(method, "data", **said)
    assert message in str(refused.value)


def test_a_method_without_text_says_which_of_cpts_losses_do_nothing(data):
    said = "clip-adapter trains no text, of which L_TETF and L_RS of cpt are: only L_CC moves"
    tuned = tune("clip-adapter", data, regulariser="cpt", epochs=1)
    assert any(one.startswith(said) for one in tuned.warnings)


def test_clusters_that_are_one_class_each_are_refused_as_they_train_nothing(data):
    with pytest.raises(DataError, match=r"`cpt_clusters` is 3, and each of the 3 .*; expected few"):
        tune("coop", data, regulariser="cpt", cpt_clusters=3)
    assert cluster_notes(torch.tensor([0, 0, 0]), 1) == []
    assert cluster_notes(torch.tensor([0, 1, 0, 1]), 2) == []
    with pytest.raises(DataError, match="2 at most"):
        cluster_notes(torch.tensor([0, 1, 2]), 3)


def test_some_clusters_of_one_class_are_said_and_the_others_trained(data):
    tuned = tune("coop", data, regulariser="cpt", cpt_clusters=2)  # of three classes
    said = "1 of the 2 clusters of cpt_clusters are one class each, which L_TETF leaves as they are"
    assert said in tuned.warnings


def test_prograds_longer_context_and_words_are_taken_together():
    said = TuneOptions("prograd", "data", ctx=12, ctx_init="a photo of a")
    recipe = said.over(recipe_of("prograd"))
    assert (recipe.ctx, recipe.words) == (12, ["a", "photo", "of", "a"])
    fewer = TuneOptions("coop", "data", ctx=12).over(recipe_of("coop"))
    assert (fewer.ctx, fewer.ctx_init) == (12, None)


def test_a_run_says_where_it_is_not_its_authors(data):
    tuned = tune("kgcoop", data, recipe="authors", views=1, epochs=1, split="all", template="x {}.")
    said = " / ".join(tuned.warnings)
    assert "recipe kgcoop-b2n: published for 16 shots, and this run has 2 shots" in said
    assert "--template 'x {}.' is taken for the authors' frozen prompts" in said
    assert "recipe kgcoop-b2n is for base-to-new, and --split is all; kgcoop-fewshot is for" in said
    assert tuned.config["recipe_in_force"] == "kgcoop-b2n"
    plain = tune("kgcoop", data, recipe="authors", views=1, epochs=1, csc=True)
    assert any("is no data set that kgcoop's authors have prompts for" in w for w in plain.warnings)
    assert any("every class has its own copy of the initial words" in w for w in plain.warnings)
