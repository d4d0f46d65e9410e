import pytest
import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch.testing import assert_close

from ncscope.toy.making import towers

VOCABULARY = 50


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vision = CLIPVisionCfg(layers=3, width=128, head_width=64, patch_size=8, image_size=40)
        text = CLIPTextCfg(vocab_size=VOCABULARY, width=64, heads=1, layers=2)
        return CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(3, 3, 40, 40, generator=generator)
    tokens = torch.randint(1, VOCABULARY - 1, (3, 77), generator=generator)
    tokens[torch.arange(3), torch.tensor([5, 9, 20])] = VOCABULARY - 1
    return pixels, tokens


def test_the_towers_are_those_of_open_clip(model):
    pixels, tokens = inputs()
    weights = dict(model.named_parameters())
    assert_close(towers.encode_image(weights, pixels), model.encode_image(pixels))
    assert_close(towers.encode_text(weights, tokens), model.encode_text(tokens))


def test_gradients_are_those_of_open_clip(model):
    pixels, tokens = inputs()
    weights = dict(model.named_parameters())

    def gradients(image, text):
        return torch.autograd.grad(
            image.square().sum() + text.sum(), list(weights.values()), allow_unused=True
        )

    ours = gradients(towers.encode_image(weights, pixels), towers.encode_text(weights, tokens))
    theirs = gradients(model.encode_image(pixels), model.encode_text(tokens))
    for name, mine, other in zip(weights, ours, theirs, strict=True):
        if other is not None:
            assert_close(mine, other, atol=1e-4, rtol=1e-3, msg=name)


def test_tokens_after_the_end_of_text_change_nothing(model):
    _, tokens = inputs()
    weights = dict(model.named_parameters())
    assert_close(towers.encode_text(weights, tokens[:, :22]), towers.encode_text(weights, tokens))
