import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.zoo.learners import case, new_runs, reference


def along(x, kernel):
    """(L, N, C): each token and its two neighbours, channel by channel."""
    zero = torch.zeros_like(x[:1])
    before, after = torch.cat([zero, x[:-1]]), torch.cat([x[1:], zero])
    return before * kernel[:, 0, 0] + x * kernel[:, 0, 1] + after * kernel[:, 0, 2]


def over_patches(x, kernel):
    """(1 + P, N, C): each patch and its eight neighbours; nothing for the class token."""
    side = int((len(x) - 1) ** 0.5)
    grid = x[1:].reshape(side, side, *x.shape[1:])
    out = torch.zeros_like(grid)
    for i in range(side):
        for j in range(side):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < side and 0 <= j + dj < side:
                        out[i, j] += grid[i + di, j + dj] * kernel[:, 0, di + 1, dj + 1]
    return torch.cat([torch.zeros_like(x[:1]), out.reshape(side * side, *x.shape[1:])])


def tower(x, weights, prefix, adapters, side, heads, scale, *, causal):
    convolve = along if side == "text" else over_patches
    for i in range(reference.depth(weights, prefix)):
        name = f"{prefix}transformer.resblocks.{i}."
        kernels = [
            adapters.get(f"{side}_adapter.{i + 1}.{part}_conv.conv.weight")
            for part in ("att", "mlp")
        ]
        a = reference.norm(x, weights, f"{name}ln_1")
        if kernels[0] is not None:
            a = a + scale * convolve(a, kernels[0])
        x = x + reference.attention(a, weights, name, heads, causal)
        y = reference.linear(reference.norm(x, weights, f"{name}ln_2"), weights, f"{name}mlp.c_fc")
        if kernels[1] is not None:
            y = y + scale * convolve(y, kernels[1])
        y = y * torch.sigmoid(1.702 * y)
        x = x + reference.linear(y, weights, f"{name}mlp.c_proj")
    return x


def text(state, scale, classes=(0, 1, 2, 3, 4)):
    weights, rows = case.state(), []
    for c in classes:
        ids = state["tk_prompts"][c]
        x = weights["token_embedding.weight"][ids] + weights["positional_embedding"]
        x = tower(x.permute(1, 0, 2), weights, "", state, "text", 1, scale, causal=True)
        x = reference.norm(x, weights, "ln_final").permute(1, 0, 2)
        ends = [row.index(49407) for row in ids.tolist()]
        features = torch.stack([x[t, end] for t, end in enumerate(ends)])
        rows.append(reference.normalise(features @ weights["text_projection"]).mean(dim=0))
    return torch.stack(rows)


def image(state, scale):
    weights = case.state()
    kernel = weights["visual.conv1.weight"]
    x = torch.nn.functional.conv2d(case.pixels(), kernel, stride=kernel.shape[-1])
    x = x.flatten(2).permute(0, 2, 1)
    first = weights["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + weights["visual.positional_embedding"]
    x = reference.norm(x, weights, "visual.ln_pre").permute(1, 0, 2)
    x = tower(x, weights, "visual.", state, "visual", 2, scale, causal=False)
    return reference.norm(x[0], weights, "visual.ln_post") @ weights["visual.proj"]


@pytest.mark.parametrize(("first", "scale"), [(1, 0.3), (3, 0.3), (0, 0.1)])
def test_features_are_those_of_the_plain_pass(tmp_path, backbone, first, scale):
    state = new_runs.lweib_state(first=first)
    run = case.save(
        tmp_path, state, model="adapter_learner", trainer="LWEIB", section="LWEIB",
        settings={"ADAPTER_SCALE": scale},
    )  # fmt: skip
    learner = load_learner(run, backbone=backbone)
    assert learner.description["method"] == "LwEIB"
    assert learner.classnames == ("cat", "grey seal", "oak tree", "st. bernard", "7 spot ladybird")
    case.matches(learner, text(state, scale), image(state, scale))
    rows = learner.text_features(["oak_tree", "cat"])
    assert case.relative(rows, text(state, scale, [2, 0])) < 1e-5


def test_the_token_after_end_of_text_is_seen(tmp_path, backbone):
    state = new_runs.lweib_state()
    learner = load_learner(new_runs.lweib(tmp_path / "a"), backbone=backbone)
    ids = state["tk_prompts"]
    for row in ids.flatten(0, 1):
        row[int(row.argmax()) + 1] = 5
    other = {"settings": {"ADAPTER_SCALE": 0.3}, "trainer": "LWEIB", "section": "LWEIB"}
    moved = load_learner(case.save(tmp_path / "b", state, **other), backbone=backbone)
    rows = [each.text_features(case.NAMES) for each in (learner, moved)]
    assert case.relative(rows[1], rows[0]) > 1e-4


def test_the_scale_is_asked_for_and_changes_both_sides(tmp_path, backbone):
    run = new_runs.lweib(tmp_path / "a", log=None)
    with pytest.raises(CheckpointError, match=r"no log.txt that says TRAINER.LWEIB.ADAPTER_SCALE"):
        load_learner(run, backbone=backbone)
    learners = [
        load_learner(run, backbone=backbone, options=LearnerOptions(adapter_scale=scale))
        for scale in (0.3, 0.1)
    ]
    logged = load_learner(new_runs.lweib(tmp_path / "b"), backbone=backbone)
    rows = [each.text_features(case.NAMES) for each in (logged, *learners)]
    assert torch.equal(rows[0], rows[1])
    assert case.relative(rows[2], rows[1]) > 1e-4
    assert learners[0].image_digest == logged.image_digest != learners[1].image_digest


def test_new_classes_have_no_descriptions(tmp_path, backbone):
    learner = load_learner(new_runs.lweib(tmp_path), backbone=backbone)
    with pytest.raises(CheckpointError, match=r"written descriptions, .* features for 'sea otter'"):
        learner.text_features(case.NEW)


def test_tokens_beyond_the_vocabulary_are_refused(tmp_path, backbone):
    state = new_runs.lweib_state()
    state["tk_prompts"][0, 0, 3] = 60000
    log = {"settings": {"ADAPTER_SCALE": 0.3}, "trainer": "LWEIB", "section": "LWEIB"}
    with pytest.raises(CheckpointError, match=r"`tk_prompts` is \(5, 2, 77\) with tokens outside"):
        load_learner(case.save(tmp_path, state, **log), backbone=backbone)
