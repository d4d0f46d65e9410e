import pytest
import torch
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.image_tower import (
    check_image_tower,
    deep_image_prompts,
    image_features,
    image_tokens,
)
from ncscope.clip.text_tower import inserted
from ncscope.errors import BackboneError, ShapeError
from tests.tiny_clip import RESNET, VIT, save_folder
from tests.zoo.learners import case, reference


def drawn(*shape, seed=0):
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_without_tokens_it_is_the_backbones_image_tower(backbone):
    assert_close(image_features(backbone, case.pixels()), backbone.encode_image(case.pixels()))


def test_appended_and_deep_tokens_give_the_plain_passs_values_and_gradients(backbone):
    learned = [drawn(n, 128, seed=n).requires_grad_() for n in (4, 3, 2)]
    deep = deep_image_prompts(learned[1:])
    got = image_features(backbone, case.pixels(), appended=learned[0], before=deep)
    wanted = reference.image_forward(
        case.state(),
        case.pixels(),
        heads=case.IMAGE_HEADS,
        appended=learned[0],
        change=reference.replace_image(learned[1:]),
    )
    assert case.relative(got, wanted) < 1e-5
    weights = drawn(*got.shape, seed=9)
    ours = torch.autograd.grad((got * weights).sum(), learned)
    theirs = torch.autograd.grad((wanted * weights).sum(), learned)
    for a, b in zip(ours, theirs, strict=True):
        assert case.relative(a, b) < 1e-5


def test_tokens_inserted_after_the_class_token_and_adapters_beside_blocks(backbone):
    new, matrix = drawn(3, 128), 0.1 * drawn(128, 128, seed=1)
    state = case.state()

    def change(when, i, x, x_in):
        if when == "before" and i == 2:
            x = torch.cat([x[:1], new[:, None].expand(-1, x.shape[1], -1), x[1:]])
        if when == "after" and i == 2:
            x = x + reference.norm(x_in, state, "visual.transformer.resblocks.2.ln_1") @ matrix
        return x

    got = image_tokens(
        backbone,
        case.pixels(),
        before={2: lambda tokens: inserted(tokens, new, start=1)},
        beside={2: lambda tokens: tokens @ matrix},
    )
    tokens = reference.image_tokens(state, case.pixels(), heads=case.IMAGE_HEADS, change=change)
    assert got.shape == (3, 1 + 3 + 4, 128)
    assert case.relative(got, reference.norm(tokens, state, "visual.ln_post")) < 1e-5


def test_the_last_block_computes_the_class_token_alone_and_it_is_the_one_of_all(backbone):
    matrix = 0.1 * drawn(128, 128, seed=1)
    blocks = backbone.model.visual.transformer.resblocks
    more = {"appended": drawn(4, 128), "beside": {len(blocks) - 1: lambda tokens: tokens @ matrix}}
    seen = []
    hook = blocks[-1].mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    try:
        tokens = image_tokens(backbone, case.pixels(), **more)
        features = image_features(backbone, case.pixels(), **more)
    finally:
        hook.remove()
    assert seen == [1 + 4 + 4, 1]
    assert_close(features, tokens[:, 0] @ backbone.model.visual.proj, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config", [RESNET, {**VIT, "vision_cfg": {**VIT["vision_cfg"], "pool_type": "avg"}}]
)
def test_an_image_tower_that_tokens_make_no_sense_in_is_refused(tmp_path, config):
    backbone = load_backbone(save_folder(tmp_path / "other", config=config))
    with pytest.raises(BackboneError, match=r"MaPLe puts learned tokens.*image tower of other"):
        check_image_tower(backbone, method="MaPLe")


def test_tokens_of_another_width_are_refused(backbone):
    with pytest.raises(ShapeError, match=r"append are \(2, 64\); expected \(n, 128\)"):
        image_features(backbone, case.pixels(), appended=drawn(2, 64))
    with pytest.raises(ShapeError, match=r"deep prompts are \(2, 64\)"):
        image_features(backbone, case.pixels(), before=deep_image_prompts([drawn(2, 64)]))
    assert check_image_tower(backbone, method="VPT") == 128


def test_bfloat16_runs_throughout_on_the_cpu(tmp_path):
    half = load_backbone(save_folder(tmp_path / "bf16", config=case.CONFIG), precision="bf16")
    got = image_features(half, case.pixels(), appended=drawn(2, 128))
    assert got.dtype == torch.float32
    wanted = reference.image_forward(
        case.state(), case.pixels(), heads=case.IMAGE_HEADS, appended=drawn(2, 128)
    )
    assert case.relative(got, wanted) < 0.03
