"""Hugging Face folders against the very model they were made of, and what is refused of them."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from torchvision import transforms

from ncscope.clip.backbone import load_backbone
from ncscope.clip.text_tower import text_tower
from ncscope.errors import BackboneError, DataError
from tests.hf_folders import (
    clip_vocabulary,
    hf_config,
    hf_state,
    save_halves,
    save_hf,
    save_processor,
    save_shards,
    save_vocabulary,
    small_vocabulary,
)
from tests.tiny_clip import VIT, tiny_model

TEXTS = ["a photo of a cat.", "a photo of a slow loris."]
NO_TOKENS = "no tokenizer beside the model: CLIP's own vocabulary is taken"
NO_IMAGES = "no preprocessor_config.json beside the model: CLIP's own image transform is taken"


def pixels():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def assert_same(backbone, model):
    assert_close(backbone.encode_image(pixels()), model.encode_image(pixels()))
    ids = open_clip.SimpleTokenizer()(TEXTS)
    assert_close(backbone.encode_text(TEXTS), model.encode_text(ids))


@pytest.fixture
def folder(tmp_path):
    return save_hf(tmp_path / "hf")


def change(folder, part, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config[part] if part else config).update(values)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("quick", [True, False])
def test_a_folder_is_the_model_it_was_made_of_with_the_activation_it_names(tmp_path, quick):
    backbone = load_backbone(save_hf(tmp_path / "hf", quick_gelu=quick))
    assert_same(backbone, tiny_model(quick_gelu=quick))
    other = tiny_model(quick_gelu=not quick).encode_image(pixels())
    assert (backbone.encode_image(pixels()) - other).abs().max() > 0.03
    assert_close(backbone.logit_scale, tiny_model().logit_scale.exp())
    assert backbone.description["warnings"] == [NO_TOKENS, NO_IMAGES]
    assert len(text_tower(backbone.model).blocks) == 2  # learned prompts can be put on it


@pytest.mark.parametrize("kind", ["file", "safetensors", "bin", "one bin"])
def test_files_and_shards_of_either_format_are_one_model(folder, kind):
    path = folder / "model.safetensors"
    if kind == "one bin":
        torch.save(hf_state(), folder / "pytorch_model.bin")
        path.unlink()
    elif kind != "file":
        save_shards(folder, suffix=kind)
    backbone = load_backbone(path if kind == "file" else folder)
    assert_same(backbone, tiny_model())


def test_position_ids_of_older_files_are_no_weights(folder):
    ids = {f"{side}_model.embeddings.position_ids": torch.arange(5)[None].clone()
           for side in ("text", "vision")}  # fmt: skip
    save_file({**hf_state(), **ids}, folder / "model.safetensors")
    assert_same(load_backbone(folder), tiny_model())


def test_two_towers_saved_apart_are_one_clip_with_its_scale_said(tmp_path):
    backbone = load_backbone(save_halves(tmp_path))
    assert_same(backbone, tiny_model())
    scale = "its towers are saved without a logit scale: CLIP's 100 is taken"
    assert backbone.description["warnings"] == [scale, NO_TOKENS, NO_IMAGES]
    assert backbone.logit_scale.item() == pytest.approx(100)


def test_an_older_files_second_table_and_its_defaults_win(folder):
    tower = json.loads((folder / "config.json").read_text())["text_config"]
    change(folder, None, text_config_dict={**tower, "hidden_act": None})
    change(folder, "text_config", hidden_act="gelu", num_attention_heads=2)
    assert_same(load_backbone(folder), tiny_model())  # QuickGELU, by default


def test_values_that_are_not_said_are_those_of_the_classes(folder):
    config = hf_config()
    for side in ("text", "vision"):
        del config[f"{side}_config"]["hidden_act"]
    (folder / "config.json").write_text(json.dumps(config))
    assert_same(load_backbone(folder), tiny_model())


def test_epsilons_of_norms_are_the_files(folder):
    change(folder, "vision_config", layer_norm_eps=0.5)
    found = load_backbone(folder).encode_image(pixels())
    assert (found - tiny_model().encode_image(pixels())).abs().max() > 0.01


@pytest.mark.parametrize("whole", [True, False])
def test_clips_own_vocabulary_in_either_form_is_told(folder, whole):
    save_vocabulary(folder, *clip_vocabulary(), whole=whole)
    backbone = load_backbone(folder)
    assert_same(backbone, tiny_model())
    assert NO_TOKENS not in backbone.description["warnings"]


def small(folder, *, end=None, rows=None):
    """The folder with a small vocabulary and the embedding to it."""
    ids, merges = small_vocabulary()
    state = load_file(folder / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    rows = rows or len(ids)
    save_file({**state, name: state[name][:rows].clone()}, folder / "model.safetensors")
    change(folder, "text_config", vocab_size=rows)
    change(folder, "text_config", eos_token_id=len(ids) - 1 if end is None else end)
    return ids, merges


@pytest.mark.parametrize("whole", [True, False])
def test_another_vocabulary_of_the_form_is_tokenised_by_its_own_merges(folder, whole):
    ids, merges = small(folder)
    save_vocabulary(folder, ids, merges, whole=whole)
    tokenizer = load_backbone(folder).tokenizer
    written = ["<|startoftext|>", "a</w>", "cat</w>", "ca", "b</w>", ".</w>", "<|endoftext|>"]
    assert tokenizer(["a Cat cab."])[0, :7].tolist() == [ids[token] for token in written]
    with pytest.raises(DataError, match="has 82 tokens, context, start and end included"):
        tokenizer(["x" * 80])


def other_end(ids):
    names = list(ids)
    return {name: number for number, name in enumerate([*names[-2:], *names[:-2]])}


TOKENS = {
    "letter": (lambda ids, m: ({k: v for k, v in ids.items() if k != "q"}, m), "it lacks 'q'"),
    "merge": (lambda ids, m: (ids, [*m, ("z", "z")]), "it lacks 'zz'"),
    "gap": (lambda ids, m: ({**ids, "a": 9999}, m), "token ids are not 0..515"),
    "end": (lambda ids, m: (other_end(ids), m), "with <|endoftext|> the largest"),
    "words": (lambda ids, m: ({**ids, "a": "1"}, m), "expected an object of tokens and their"),
    "pairs": (lambda ids, m: (ids, [*m, ("a", "b", "c")]), "merges that are no pairs"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_vocabulary_of_another_form_is_refused(folder, case):
    ids, merges = small(folder)
    broken, message = TOKENS[case]
    save_vocabulary(folder, *broken(ids, merges))
    with pytest.raises(BackboneError, match=message.replace("|", r"\|")):
        load_backbone(folder)


def test_added_tokens_and_other_ends_are_refused_and_more_rows_are_said(folder):
    ids, merges = small(folder, end=2, rows=600)
    save_vocabulary(folder, ids, merges)
    note = "the model has 84 more tokens than its tokenizer writes"
    assert note in load_backbone(folder).description["warnings"]
    change(folder, "text_config", eos_token_id=7)
    with pytest.raises(BackboneError, match="texts end in the token 515, and the model reads them"):
        load_backbone(folder)
    (folder / "added_tokens.json").write_text('{"<cat-toy>": 516}')
    with pytest.raises(BackboneError, match=r"its tokenizer has added tokens \('<cat-toy>'\)"):
        load_backbone(folder)
    (folder / "added_tokens.json").unlink()
    change(folder, "text_config", vocab_size=500)
    with pytest.raises(BackboneError, match="a vocabulary of 516 tokens; the model has 500"):
        load_backbone(folder)


def test_a_small_model_without_a_tokenizer_is_refused(folder):
    small(folder)
    with pytest.raises(BackboneError, match="has 516 tokens and no tokenizer beside it"):
        load_backbone(folder)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("squash", [True, False])
def test_images_go_through_the_files_own_transform(folder, nested, squash):
    square = {"height": 32, "width": 32}
    more = {"size": square, "do_center_crop": False, "resample": 2} if squash else {}
    save_processor(folder, **more)
    if nested:
        stored = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").unlink()
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": stored}))
    noise = np.random.default_rng(0).integers(0, 256, (60, 44, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    mode = transforms.InterpolationMode
    steps = [transforms.Resize((32, 32), mode.BILINEAR)] if squash else [
        transforms.Resize(32, mode.BICUBIC), transforms.CenterCrop(32)]  # fmt: skip
    norm = transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    expected = transforms.Compose([*steps, transforms.ToTensor(), norm])(image)
    backbone = load_backbone(folder)
    assert_close(backbone.preprocess(image), expected)
    assert backbone.description["warnings"] == [NO_TOKENS]


IMAGES = [
    ({"size": {"shortest_edge": 36}}, "resized to shortest_edge 36, with a crop of height 32"),
    ({"do_center_crop": False}, "with no crop; expected `shortest_edge` 32 and a crop of 32"),
    ({"crop_size": 24}, "a crop of height 24 and width 24"),
    ({"resample": 0}, r"`resample` is 0; expected 2 \(bilinear\) or 3"),
    ({"do_normalize": False}, "`do_normalize` is False; expected a transform that does it"),
    ({"rescale_factor": 1.0}, "`rescale_factor` is 1.0; expected 1/255"),
    ({"image_mean": [0.5, 0.5]}, "`image_mean` is list; expected a list of 3"),
    ({"image_std": [0, 1, 1]}, "`image_std` is list; expected a list of 3"),
]


@pytest.mark.parametrize(("changes", "message"), IMAGES)
def test_a_transform_that_is_not_made_here_is_refused(folder, changes, message):
    save_processor(folder, **changes)
    with pytest.raises(BackboneError, match=message):
        load_backbone(folder)


CONFIGS = [
    (None, {"model_type": "blip"}, "`model_type` is 'blip'; expected clip or siglip: another arch"),
    (None, {"model_type": "siglip2"}, "takes patches of any shape of image"),
    (None, {"model_type": "clip_text_model"}, "one tower is no backbone; give the folder above it"),
    (None, {"auto_map": {"AutoModel": "evil.Model"}}, "`auto_map` names Python of its own"),
    (None, {"quantization_config": {"bits": 4}}, "quantised weights, which is not read here"),
    (None, {"projection_dim": "32"}, "`projection_dim` is '32'; expected a whole number"),
    (None, {"text_config": []}, "`text_config` is list; expected a JSON object"),
    ("text_config", {"hidden_size": 10**9}, "`text_config.hidden_size` is 1000000000; expected"),
    ("text_config", {"hidden_act": "relu"}, "is 'relu'; expected one of 'quick_gelu', 'gelu'"),
    ("text_config", {"hidden_act": "gelu"}, "expected quick_gelu in both or neither"),
    ("text_config", {"num_attention_heads": 3}, "64 wide with 3 heads; expected a multiple"),
    ("text_config", {"num_hidden_layers": 3}, "12 weights are missing"),
    ("vision_config", {"patch_size": 8, "image_size": 1024}, "at most 64 patches a side"),
    ("vision_config", {"num_channels": 1}, "`vision_config.num_channels` is 1; expected"),
]


@pytest.mark.parametrize(("part", "values", "message"), CONFIGS)
def test_another_configuration_is_refused(folder, part, values, message):
    change(folder, part, **values)
    with pytest.raises(BackboneError, match=message):
        load_backbone(folder, trust_backbone=True)  # no word of a caller's runs anything here


def test_weights_that_are_not_the_models_are_refused(folder):
    path, state = folder / "model.safetensors", hf_state()
    save_file({**state, "text_model.lora": torch.zeros(2)}, path)
    with pytest.raises(BackboneError, match=r"1 are not the model's \(`text_model.lora`\)"):
        load_backbone(folder)
    key = "vision_model.encoder.layers.1.self_attn.k_proj.weight"
    save_file({k: v for k, v in state.items() if k != key}, path)
    with pytest.raises(BackboneError, match="are 2 tensors of 1 kinds; expected three alike"):
        load_backbone(folder)
    (folder / "config.json").unlink()
    with pytest.raises(BackboneError, match=r"without config.json beside them; heads and activat"):
        load_backbone(path)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b", "", 5])
def test_an_index_reaches_no_file_outside_its_folder(folder, name):
    index = save_shards(folder) / "model.safetensors.index.json"
    listed = json.loads(index.read_text())
    listed["weight_map"]["logit_scale"] = name
    index.write_text(json.dumps(listed))
    with pytest.raises(BackboneError, match="is no plain name of a file beside it"):
        load_backbone(folder)


def test_an_index_and_its_files_have_the_same_names(folder):
    index = save_shards(folder) / "model.safetensors.index.json"
    listed = json.loads(index.read_text())
    file = listed["weight_map"].pop("logit_scale")
    index.write_text(json.dumps(listed))
    with pytest.raises(BackboneError, match=rf"{file}: has 'logit_scale', unlike what model"):
        load_backbone(folder)
    listed["weight_map"] |= {"logit_scale": file, "more": file}
    index.write_text(json.dumps(listed))
    with pytest.raises(BackboneError, match=rf"{file}: lacks 'more', unlike"):
        load_backbone(folder)


def test_a_folder_without_weights_is_refused_and_random_ones_are_made_if_asked_for(folder):
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(BackboneError, match=r"no weights; .* \(there is tf_model.h5, which is not"):
        load_backbone(folder)
    assert load_backbone(folder, pretrained="random").description["random"]
    with pytest.raises(BackboneError, match="holds its own weights, so `pretrained` 'openai'"):
        load_backbone(folder, pretrained="openai")


def test_towers_apart_need_each_other_and_their_projections(tmp_path):
    folder = save_halves(tmp_path / "both")
    with pytest.raises(BackboneError, match="one tower is no backbone; give the folder above"):
        load_backbone(folder / "text_encoder")
    path = folder / "image_encoder" / "model.safetensors"
    state = load_file(path)
    save_file({k: v for k, v in state.items() if k != "visual_projection.weight"}, path)
    with pytest.raises(BackboneError, match="without its projection has no space in common"):
        load_backbone(folder)
    change(folder / "image_encoder", None, projection_dim=16)
    with pytest.raises(BackboneError, match=r"projects to 32 dimensions and .* to 16; expected"):
        load_backbone(folder)
    (folder / "image_encoder" / "config.json").unlink()
    with pytest.raises(BackboneError, match=r"1 text towers and 0 image towers \(text_encoder\)"):
        load_backbone(folder)


def test_an_open_clip_folder_with_both_configurations_stays_one(tmp_path):
    from tests.tiny_clip import save_folder

    folder = save_folder(tmp_path / "both", quick_gelu=False)
    (folder / "config.json").write_text(json.dumps(hf_config(VIT)))
    assert_same(load_backbone(folder), tiny_model(quick_gelu=False))
