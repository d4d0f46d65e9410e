import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.dassl_files import save_lift
from tests.learner_states import lift
from tests.zoo.learners import case, new_runs, reference

NAMED = LearnerOptions(classnames=case.NAMES)


def bottleneck(x, state, tuner):
    x = reference.norm(x, state, f"{tuner}ln")
    hidden = reference.linear(x, state, f"{tuner}down_proj").clamp(min=0)
    return reference.linear(hidden, state, f"{tuner}up_proj")


def attention(x, weights, name, state, tuner):
    width, size = x.shape[2], x.shape[2] // 2
    qkv = x @ weights[f"{name}attn.in_proj_weight"].T + weights[f"{name}attn.in_proj_bias"]
    q, k, v = qkv[..., :width], qkv[..., width : 2 * width], qkv[..., 2 * width :]
    if f"{tuner}q.lora_A" in state:
        rank = state[f"{tuner}q.lora_A"].shape[1]
        q = q + x @ state[f"{tuner}q.lora_A"] @ state[f"{tuner}q.lora_B"] / rank
        v = v + x @ state[f"{tuner}v.lora_A"] @ state[f"{tuner}v.lora_B"] / rank
    mixed = []
    for h in range(2):
        part = slice(h * size, (h + 1) * size)
        scores = torch.einsum("inw,jnw->nij", q[..., part], k[..., part]) / size**0.5
        mixed.append(torch.einsum("nij,jnw->inw", scores.softmax(dim=-1), v[..., part]))
    return reference.linear(torch.cat(mixed, dim=-1), weights, f"{name}attn.out_proj")


def image(state, kind):
    weights = case.state()
    kernel = weights["visual.conv1.weight"]
    x = torch.nn.functional.conv2d(case.pixels(), kernel, stride=kernel.shape[-1])
    x = x.flatten(2).permute(0, 2, 1)
    first = weights["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + weights["visual.positional_embedding"]
    x = reference.norm(x, weights, "visual.ln_pre").permute(1, 0, 2)
    length = len(x)
    for i in range(reference.depth(weights, "visual.")):
        tuner, name = f"tuner.{kind}.{i}.", f"visual.transformer.resblocks.{i}."
        if f"{tuner}prompt" in state:
            prompt = state[f"{tuner}prompt"][:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x[:length], prompt])
        x = x + attention(reference.norm(x, weights, f"{name}ln_1"), weights, name, state, tuner)
        m = reference.linear(reference.norm(x, weights, f"{name}ln_2"), weights, f"{name}mlp.c_fc")
        m = reference.linear(m * torch.sigmoid(1.702 * m), weights, f"{name}mlp.c_proj")
        if f"{tuner}up_proj.weight" in state and kind == "adapter_list":
            m = m + bottleneck(m, state, tuner)
        if f"{tuner}up_proj.weight" in state and kind == "adaptformer_list":
            m = m + state[f"{tuner}scale"] * bottleneck(x, state, tuner)
        x = x + m
    return reference.norm(x[0], weights, "visual.ln_post")


@pytest.mark.parametrize("kind", ["adaptformer_list", "adapter_list", "lora_list", "vpt_list"])
def test_features_are_those_of_the_plain_pass(tmp_path, backbone, kind):
    state = lift(case.SIZES, kind=kind)
    run = new_runs.lift_run(tmp_path, kind=kind)
    learner = load_learner(run, backbone=backbone, options=NAMED)
    assert learner.description["method"] == "LIFT"
    case.matches(learner, state["head.weight"], image(state, kind))
    untuned = image({}, kind)
    assert case.relative(learner.image_features(case.pixels()), untuned) > 1e-3
    rows = learner.text_features(["oak_tree", "cat"])
    assert torch.equal(rows, state["head.weight"][[2, 0]])
    assert any("8/7" in warning for warning in learner.description["warnings"])


def test_new_classes_have_no_class_vectors(tmp_path, backbone):
    learner = load_learner(new_runs.lift_run(tmp_path), backbone=backbone, options=NAMED)
    with pytest.raises(CheckpointError, match=r"table of the classes .* features for 'sea otter'"):
        learner.text_features(case.NEW)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tuner.masked_linear_list.1.mlp_in.optimized_bias", "follows from a seed that is not in"),
        ("tuner.block_tuned.0.ln_1.weight", "does not say at which block the tuned ones begin"),
        ("tuner.ssf_ln_list.1.ln_1.scale", "none of the tuners that are read; read are adaptf"),
        ("tuner.bias_tuned.3", "LIFT's tuner `bias_tuned`: it is none of"),
        ("tuner.adapter_list.7.ln.weight", "a tuner of block 7, but .* image tower has 4 blocks"),
        ("tuner.adaptformer_list.1.gate", "`tuner.adaptformer_list.1.gate` is no part of"),
        ("tuner.vpt_list.1.prompt", r"`tuner.vpt_list.1.prompt` is \(128,\); expected \(n, 128\)"),
    ],
)
def test_tuners_that_are_not_read_are_refused_by_name(tmp_path, backbone, key, message):
    state = {**lift(case.SIZES), key: torch.zeros(128)}
    run = save_lift(tmp_path / "checkpoint.pth.tar", state)
    with pytest.raises(CheckpointError, match=message):
        load_learner(run, backbone=backbone, options=NAMED)


def test_a_head_of_another_width_is_refused(tmp_path, backbone):
    state = {**lift(case.SIZES), "head.weight": torch.zeros(5, 32)}
    run = save_lift(tmp_path / "checkpoint.pth.tar", state)
    with pytest.raises(CheckpointError, match=r"`head.weight` is \(5, 32\); expected \(C, 128\)"):
        load_learner(run, backbone=backbone, options=NAMED)
