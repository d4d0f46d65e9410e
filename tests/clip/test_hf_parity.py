"""Hugging Face folders as backbones against `transformers` itself, a random model of each class."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.text_tower import text_tower
from ncscope.errors import BackboneError, DataError
from tests.hf_folders import clip_vocabulary, save_vocabulary

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
TEXTS = ["a photo of a cat.", "a photo of a slow loris, a type of animal.", "Café, it's 12!"]
TEXT = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
        "num_attention_heads": 4}  # fmt: skip
VISION = {**TEXT, "hidden_size": 96, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}
WORDS = "a photo of cat slow loris type animal it s 12 café".split()


def made(model):
    """The model with every weight moved, so that each has an effect."""
    with torch.no_grad():
        for number, value in enumerate(model.parameters()):
            random = torch.Generator().manual_seed(number)
            value.add_(0.1 * torch.randn(value.shape, generator=random))
    return model.eval()


def pooled(features):
    return getattr(features, "pooler_output", features)  # a tensor until transformers 5


def clip_model(**text):
    config = transformers.CLIPConfig(
        text_config={**TEXT, **text},
        vision_config={**VISION, "hidden_act": text.get("hidden_act", "quick_gelu")},
        projection_dim=24,
    )
    return made(transformers.CLIPModel(config))


def pixels():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    save_vocabulary(folder, *clip_vocabulary())
    return transformers.CLIPTokenizer.from_pretrained(str(folder))


@torch.no_grad()
def assert_parity(folder, model, ids, *, atol=1e-5):
    backbone = load_backbone(folder)
    text, image = backbone.encode_text(TEXTS), backbone.encode_image(pixels())
    assert_close(text, pooled(model.get_text_features(input_ids=ids)), atol=atol, rtol=0)
    assert_close(image, pooled(model.get_image_features(pixel_values=pixels())), atol=atol, rtol=0)
    assert_close(backbone.logit_scale, model.logit_scale.exp().reshape(()))
    return backbone


@pytest.mark.parametrize(
    ("text", "shards"),
    [
        ({"hidden_act": "quick_gelu", "eos_token_id": 2}, "5GB"),
        ({"hidden_act": "gelu", "eos_token_id": 49407, "layer_norm_eps": 1e-3}, "5MB"),
        ({"hidden_act": "gelu_pytorch_tanh"}, "5GB"),
    ],
    ids=["quick_gelu", "gelu, shards", "tanh"],
)
def test_a_clip_model(tmp_path, words, text, shards):
    model = clip_model(**text)
    model.save_pretrained(tmp_path, max_shard_size=shards)
    words.save_pretrained(tmp_path)
    ids = words(TEXTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    backbone = assert_parity(tmp_path, model, ids)
    assert len(text_tower(backbone.model).blocks) == 2


def test_text_and_image_models_with_projections(tmp_path, words):
    model = clip_model(projection_dim=24)
    parts = {
        "text_encoder": transformers.CLIPTextModelWithProjection(model.config.text_config),
        "image_encoder": transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**VISION, projection_dim=24)
        ),
    }
    with torch.no_grad():
        model.logit_scale.fill_(np.log(100))
    for name, part in parts.items():
        part.load_state_dict({k: model.state_dict()[k] for k in part.state_dict()})
        part.save_pretrained(tmp_path / name)
    ids = words(TEXTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert_parity(tmp_path, model, ids)


def save_words(folder, kind, **settings):
    """A `tokenizer.json` of whole words, with end-of-text, and its settings."""
    vocabulary = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    found.save(str(folder / "tokenizer.json"))
    usual = {"tokenizer_class": kind, "pad_token": "<pad>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**usual, **settings}))


def siglip_model(**vision):
    config = transformers.SiglipConfig(
        text_config={**TEXT, "hidden_size": 96, "vocab_size": 40, "max_position_embeddings": 16},
        vision_config={**VISION, **vision},
    )
    return made(transformers.SiglipModel(config))


@pytest.mark.parametrize(
    ("kind", "settings", "side"),
    [
        ("SiglipTokenizer", {}, "right"),
        ("Siglip2Tokenizer", {"add_eos_token": True}, "left"),
        ("GemmaTokenizerFast", {"add_eos_token": True, "padding_side": "right"}, "right"),
    ],
)
def test_a_siglip_model_reads_the_last_place_of_texts_padded_as_its_tokenizer_does(
    tmp_path, kind, settings, side
):
    model = siglip_model()
    model.save_pretrained(tmp_path)
    save_words(tmp_path, kind, **settings)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"),
        pad_token="<pad>",
        eos_token="</s>",
        padding_side=side,
    )
    cleaned = [text.lower() for text in TEXTS]
    if kind == "SiglipTokenizer":
        cleaned = [text.replace(".", "").replace(",", "").replace("!", "") for text in cleaned]
        cleaned = [text.replace("'", "") for text in cleaned]
    ids = fast(
        [f"{text} </s>" for text in cleaned], padding="max_length", max_length=16,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    backbone = assert_parity(tmp_path, model, ids)
    assert any("logit bias" in note for note in backbone.description["warnings"])
    with pytest.raises(BackboneError, match="learned prompts need"):
        text_tower(backbone.model)
    with pytest.raises(DataError, match="has 21 tokens, context, start and end included; the"):
        backbone.encode_text(["cat " * 20])


def test_a_siglip_of_odd_sizes(tmp_path):
    """An image that is no multiple of its patches, a block that is no multiple of its width."""
    model = siglip_model(patch_size=10, intermediate_size=107)
    model.save_pretrained(tmp_path)
    save_words(tmp_path, "SiglipTokenizer")
    with torch.no_grad():
        found = load_backbone(tmp_path).encode_image(pixels())
        expected = pooled(model.get_image_features(pixel_values=pixels()))
    assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
@pytest.mark.parametrize("size", [(64, 48), (200, 151), (48, 64)])
def test_images_are_those_of_the_processor_on_pillow(tmp_path, kind, size):
    square = {"height": 32, "width": 32}
    crop = {"size": {"shortest_edge": 32}, "crop_size": square}
    processor = getattr(transformers, f"{kind}ImageProcessorPil", None) or getattr(
        transformers, f"{kind}ImageProcessor"
    )
    found = processor(**(crop if kind == "CLIP" else {"size": square}))
    model = clip_model() if kind == "CLIP" else siglip_model()
    model.save_pretrained(tmp_path)
    found.save_pretrained(tmp_path)
    save_words(tmp_path, "SiglipTokenizer") if kind == "Siglip" else None
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = torch.as_tensor(np.asarray(found(image, return_tensors="pt")["pixel_values"][0]))
    assert_close(load_backbone(tmp_path).preprocess(image), expected, atol=1e-5, rtol=0)


def test_siglip_refusals(tmp_path):
    model = siglip_model()
    model.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"no tokenizer.json in it, which a SigLIP's text"):
        load_backbone(tmp_path)
    save_words(tmp_path, "SiglipTokenizer", pad_token=None)
    with pytest.raises(BackboneError, match="no `pad_token`, which fills a text up"):
        load_backbone(tmp_path)
    save_words(tmp_path, "SiglipTokenizer", pad_token="<fill>")
    with pytest.raises(BackboneError, match="lacks the `pad_token` '<fill>' of tokenizer_config"):
        load_backbone(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackboneError, match="no readable tokenizer"):
        load_backbone(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["vision_use_head"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="without its pooling head the image tower gives no"):
        load_backbone(tmp_path)
