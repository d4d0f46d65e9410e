import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests.zoo.learners import case, new_runs, reference


def attention(query, key, value, state):
    """Eight heads, one by one, over unbatched rows."""
    width = query.shape[1]
    size, mixed = width // 8, []
    weight, bias = state["attn.in_proj_weight"], state["attn.in_proj_bias"]
    q, k, v = (
        x @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width]
        for i, x in enumerate((query, key, value))
    )
    for h in range(8):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / size**0.5
        mixed.append(scores.softmax(dim=1) @ v[:, part])
    return reference.linear(torch.cat(mixed, dim=1), state, "attn.out_proj")


def sub(state, prefix):
    prefix = f"prompt_learner.{prefix}."
    return {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}


def first_pass(state, layers=2, depth=3):
    """The image prompts of the first forward pass."""
    proxies = []
    for i in range(layers):
        net = sub(state, f"attn_pooling_text_nets.{i}")
        token = state[f"prompt_learner.text_proxy_token.{i}"].float()
        keys = reference.norm(state[f"prompt_learner.cross_prompts_text.{i}"].float(), net, "ln_1")
        token = token + attention(reference.norm(token, net, "ln_1"), keys, keys, net)
        proxies.append(reference.norm(token, net, "ln_2"))
    visual = [state[f"prompt_learner.cross_prompts_visual.{i}"].float() for i in range(depth)]
    net, proxy = sub(state, "text2visual_net"), torch.cat(proxies)
    q = reference.linear(torch.cat(visual[:layers]), net, "linear_q")
    k, v = (reference.linear(proxy, net, f"linear_{name}") for name in "kv")
    q = q + attention(*(reference.norm(x, net, "ln_1") for x in (q, k, v)), net)
    hidden = reference.linear(reference.norm(q, net, "ln_2"), net, "ffn.c_fc")
    q = q + reference.linear(hidden * torch.sigmoid(1.702 * hidden), net, "ffn.c_proj")
    made = [*q.split(len(visual[0])), *visual[layers:]]
    return [value.half().float() for value in made]


def test_image_features_are_those_of_the_first_forward_pass(tmp_path, backbone):
    state = new_runs.hicropl_state()
    learner = load_learner(new_runs.hicropl_run(tmp_path), backbone=backbone)
    assert learner.description["method"] == "HiCroPL"
    rows = first_pass(state)
    change = reference.replace_image(rows[1:])
    prompted = case.reference_image(appended=rows[0], change=change)
    other = dict(case.tiny_model(case.CONFIG, seed=4).state_dict())
    plain = reference.image_forward(other, case.pixels(), heads=case.IMAGE_HEADS)
    wanted = reference.normalise(reference.normalise(prompted) + reference.normalise(plain))
    for _ in range(2):  # not as the method, which changes at every pass
        assert case.relative(learner.image_features(case.pixels()), wanted) < 1e-5
    said = learner.description["warnings"]
    assert any("first forward pass after loading" in warning for warning in said)


def test_its_text_side_refuses_with_the_reason(tmp_path, backbone):
    learner = load_learner(new_runs.hicropl_run(tmp_path), backbone=backbone)
    assert not learner.has_text
    with pytest.raises(CheckpointError, match="sums with those of written descriptions, which no"):
        learner.text_features(case.NAMES)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("prompt_learner.ZS_image_encoder.proj", "no `prompt_learner.ZS_image_encoder.proj`"),
        ("prompt_learner.text_proxy_token.1", "no `prompt_learner.text_proxy_token.1`"),
        ("prompt_learner.text2visual_net.ffn.c_fc.bias", "no .*c_fc.bias`, which HiCroPL needs"),
    ],
)
def test_a_file_without_a_part_of_it_is_refused(tmp_path, backbone, key, message):
    state = new_runs.hicropl_state()
    del state[key]
    with pytest.raises(CheckpointError, match=message):
        load_learner(case.save(tmp_path, state, trainer="HiCroPL"), backbone=backbone)
