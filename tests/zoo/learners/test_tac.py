import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests.zoo.learners import case, new_runs, reference


def leads(state):
    """The five summaries in the width of each tower, in half precision."""
    float_state = {key: value.float() for key, value in state.items()}
    sides = ("VPT_topk_t", "VPT_topk_v")
    return [reference.linear(float_state["topk"], float_state, k).half().float() for k in sides]


def deep(state, side):
    keys = sorted(k for k in state if k.startswith(f"{side}_encoder") and "VPT_shallow" in k)
    return [state[key].half().float() for key in keys]


def text(state, names, words="a photo of a"):
    """Start-of-text, summaries, context, and all of the written prompt, end-of-text moved on."""
    lead, _ = leads(state)
    context = state["prompt_learner.ctx"].float()
    rows, eot = case.embedded([f"{words} {name}" for name in case.sentences(names)])
    head = torch.cat([lead, context]).expand(len(rows), -1, -1)
    count = head.shape[1]
    rows = torch.cat([rows[:, :1].float(), head, rows[:, 1 : 77 - count].float()], dim=1)
    new = [torch.cat([lead, own]) for own in deep(state, "text")]
    eot = [place + count for place in eot]
    change = reference.replace_text(new)
    return reference.text_forward(case.state(), rows, eot, heads=case.TEXT_HEADS, change=change)


def attention(x, state, prefix, heads, mask):
    """Masked self-attention over (L, N, W)."""
    length, count, width = x.shape
    qkv = x @ state[f"{prefix}attn.in_proj_weight"].T + state[f"{prefix}attn.in_proj_bias"]
    query, key, value = (
        part.reshape(length, count, heads, -1).permute(1, 2, 0, 3) for part in qkv.chunk(3, dim=-1)
    )
    scores = query @ key.transpose(-1, -2) / (width // heads) ** 0.5 + mask
    mixed = (scores.softmax(dim=-1) @ value).permute(2, 0, 1, 3).reshape(length, count, width)
    return reference.linear(mixed, state, f"{prefix}attn.out_proj")


def image(state, *, masked=True):
    weights, (_, lead) = case.state(), leads(state)
    kernel = weights["visual.conv1.weight"]
    x = torch.nn.functional.conv2d(case.pixels(), kernel, stride=kernel.shape[-1])
    x = x.flatten(2).permute(0, 2, 1)
    patches = x.shape[1]
    first = weights["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + weights["visual.positional_embedding"]
    shallow = torch.cat([lead, state["image_encoder.VPT"].half().float()])
    x = torch.cat([x, shallow.expand(len(x), -1, -1)], dim=1)
    x = reference.norm(x, weights, "visual.ln_pre").permute(1, 0, 2)
    mask = torch.zeros(len(x), len(x))
    if masked:
        mask[1 : 1 + patches, 1 + patches : 6 + patches] = float("-inf")
    new = deep(state, "image")
    for i in range(reference.depth(weights, "visual.")):
        if 1 <= i <= len(new):
            rows = torch.cat([lead, new[i - 1]])[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x[: 1 + patches], rows])
        name = f"visual.transformer.resblocks.{i}."
        x = x + attention(reference.norm(x, weights, f"{name}ln_1"), weights, name, 2, mask)
        inner = reference.linear(
            reference.norm(x, weights, f"{name}ln_2"), weights, f"{name}mlp.c_fc"
        )
        inner = inner * torch.sigmoid(1.702 * inner)
        x = x + reference.linear(inner, weights, f"{name}mlp.c_proj")
    return reference.norm(x[0], weights, "visual.ln_post") @ weights["visual.proj"]


@pytest.mark.parametrize("context", [2, 5])
def test_features_are_those_of_the_plain_pass(tmp_path, backbone, context):
    state = new_runs.tac_state(context)
    run = case.save(
        tmp_path, state, trainer="TAC", section="TAC",
        settings={"N_CTX_TEXT": context, "CTX_INIT": "a photo of a"},
    )  # fmt: skip
    learner = load_learner(run, backbone=backbone)
    assert learner.description["method"] == "TAC"
    assert learner.classnames is not None
    assert learner.classnames[:2] == ("cat", "grey seal")
    for names in (case.NAMES, case.NEW):
        case.matches(learner, text(state, names), image(state), names=names)
    hidden = case.relative(learner.image_features(case.pixels()), image(state, masked=False))
    assert hidden > 1e-4  # patches see the summaries there


def test_the_logs_initial_words_are_written_for_new_classes(tmp_path, backbone):
    state = new_runs.tac_state(2, before="a blurry photo of one")
    run = case.save(
        tmp_path, state, trainer="TAC", section="TAC",
        settings={"CTX_INIT": "a_blurry_photo_of_one"},
    )  # fmt: skip
    learner = load_learner(run, backbone=backbone)
    wanted = text(state, case.NEW, "a blurry photo of one")
    case.matches(learner, wanted, image(state), names=case.NEW)


def test_the_files_towers_alone_serve_its_own_classes(tmp_path, backbone):
    run = new_runs.tac(tmp_path)
    learner = load_learner(run, backbone=backbone)
    assert any("averages" in warning for warning in learner.description["warnings"])


def test_a_gap_between_prompted_blocks_is_refused(tmp_path, backbone):
    state = new_runs.tac_state()
    del state["image_encoder.transformer.resblocks.1.VPT_shallow"]
    run = case.save(tmp_path, state, trainer="TAC", section="TAC")
    with pytest.raises(CheckpointError, match=r"image prompts are of blocks \[2\]; expected 1, 2"):
        load_learner(run, backbone=backbone)
