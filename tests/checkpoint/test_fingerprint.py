import random

import pytest

from ncscope.checkpoint.facts import facts_of
from ncscope.checkpoint.fingerprint import recognise
from tests.learner_states import STATES, Sizes, coop, dept, ivlp, maple, plot, promptsrc, under

REAL = Sizes(text=512, vision=768, embed=512, grid=14, layers=2, depth=2)
CLOSE = {"CoOp": "ProGrad", "KgCoOp": "DeKg", "PromptSRC": "ProMetaR", "TCP": "DeKg_TCP"}


def shapes_of(state):
    return {key.replace(".module.", "."): tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("name", STATES)
def test_every_method_is_told_from_its_keys_and_shapes(name):
    found = recognise(shapes_of(STATES[name](Sizes(), 0)))
    assert found.method == name
    assert found.candidates[0] == name
    assert found.unexplained == ()


@pytest.mark.parametrize("name", STATES)
def test_the_order_of_a_file_does_not_matter(name):
    shapes = list(shapes_of(STATES[name](Sizes(), 0)).items())
    random.Random(0).shuffle(shapes)
    assert recognise(dict(shapes)).method == name


@pytest.mark.parametrize("name", CLOSE)
def test_methods_with_the_same_keys_are_all_named(name):
    assert CLOSE[name] in recognise(shapes_of(STATES[name](Sizes(), 0))).candidates


def test_plot_is_not_class_specific_coop():
    for classes in (2, 3, 8):
        sizes = Sizes(classes=classes)
        assert recognise(shapes_of(plot(sizes))).method == "PLOT"
        assert recognise(shapes_of(coop(sizes, csc=True))).method == "CoOp (class-specific)"


def test_without_the_prefix_plot_and_class_specific_coop_are_both_named():
    shapes = {"ctx": (4, 16, 512)}
    assert {"CoOp (class-specific)", "PLOT"} <= set(recognise(shapes).candidates)


def test_the_dead_weights_of_kgcoop_do_not_make_it_cocoop():
    shapes = {"ctx": (4, 512), "meta_net.linear1.weight": (512, 512), "bias_vectors": (1, 512)}
    assert recognise(shapes).method == "KgCoOp"


@pytest.mark.parametrize(
    ("base", "expected"),
    [(maple, "MaPLe"), (promptsrc, "PromptSRC"), (ivlp, "IVLP")],
)
def test_dept_names_the_method_below_it(base, expected):
    found = recognise(shapes_of(dept(Sizes(), over=base(Sizes()))))
    assert (found.method, found.base) == (f"DePT over {expected}", expected)


def test_a_whole_coop_model_is_seen_for_what_it_is():
    towers = {k: v for k, v in maple(Sizes()).items() if not k.startswith("prompt_learner")}
    shapes = shapes_of({**under("prompt_learner.", coop(Sizes())), **towers})
    assert "IVLP (language only, depth 1)" in recognise(shapes).candidates


def test_keys_that_belong_to_no_known_method_are_named():
    found = recognise({**shapes_of(coop(Sizes())), "my_gate.weight": (3,)})
    assert (found.method, found.unexplained) == ("CoOp", ("my_gate.weight",))


@pytest.mark.parametrize(
    ("shapes", "nearest", "missing", "unexplained"),
    [
        (
            {"ctxx": (4, 512), "token_prefix": (3, 1, 512), "token_suffix": (3, 70, 512)},
            "CoOp",
            ("ctx",),
            ("ctxx",),
        ),
        (
            {"text_feature_residual": (5, 512), "base_text_features": (5, 512)},
            "TaskRes",
            ("text_feature_residuals",),
            ("text_feature_residual",),
        ),
        ({"foo.weight": (3, 4), "bar": (2,)}, None, (), ("foo.weight", "bar")),
    ],
)
def test_an_unknown_file_is_compared_with_the_nearest(shapes, nearest, missing, unexplained):
    found = recognise(shapes)
    assert found.method is None
    assert (found.nearest, found.missing, found.unexplained) == (nearest, missing, unexplained)


def test_any_shapes_are_survived():
    generator = random.Random(0)
    keys = [key for state in STATES.values() for key in state(Sizes(layers=1), 0)]
    for _ in range(150):
        chosen = generator.sample(keys, generator.randrange(0, 12))
        shapes = {
            k: tuple(generator.choices((0, 1, 4, 512), k=generator.randrange(5))) for k in chosen
        }
        recognise(shapes)
        facts_of(shapes)
        facts_of(shapes, pooled=True)


def test_shapes_say_lengths_depths_and_classes():
    facts = facts_of(shapes_of(maple(Sizes(classes=7, context=2, layers=9, depth=9))))
    assert (facts.context_length, facts.vision_context_length) == (2, 2)
    assert (facts.text_depth, facts.vision_depth, facts.num_classes) == (9, 9, 7)
    assert facts.towers == ("image", "text")
    facts = facts_of(shapes_of(plot(Sizes(classes=7), sets=4)), pooled=True)
    assert (facts.prompt_sets, facts.num_classes, facts.class_specific) == (4, 7, False)
    facts = facts_of(shapes_of(ivlp(Sizes(), vision_depth=0)))
    assert (facts.text_depth, facts.vision_depth) == (3, None)
    assert facts_of(shapes_of(coop(Sizes(), csc=True))).class_specific


@pytest.mark.parametrize(
    "name", ["MaPLe", "IVLP", "PromptSRC", "VPT", "PromptKD", "MMRL", "PLOT++"]
)
def test_whole_models_say_their_backbone(name):
    assert facts_of(shapes_of(STATES[name](REAL, 0))).backbones == ("ViT-B/16",)


def test_prompts_alone_leave_several_backbones_open():
    both = ("ViT-B/16", "ViT-B/32")
    assert facts_of(shapes_of(coop(REAL))).backbones == (*both, "RN50", "RN101")
    assert facts_of(shapes_of(STATES["CoCoOp"](REAL, 0))).backbones == (*both, "RN101")
    assert facts_of(shapes_of(STATES["MMA"](REAL, 0))).backbones == both
    assert facts_of({"base_text_features": (5, 1024)}).backbones == ("RN50", "RN50x64")
    assert facts_of({"ctx": (4, 33)}).backbones == ()


def test_a_resnet_tower_is_not_taken_for_a_transformer():
    tower = {
        "image_encoder.conv1.weight": (32, 3, 3, 3),
        "image_encoder.attnpool.positional_embedding": (50, 2048),
        "image_encoder.attnpool.c_proj.weight": (1024, 2048),
    }
    facts = facts_of({"prompt_learner.ctx": (4, 512), **tower})
    assert (facts.backbones, facts.patch_size, facts.vision_width) == (("RN50",), None, None)
