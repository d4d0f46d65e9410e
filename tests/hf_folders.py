"""Folders as Hugging Face's `transformers` writes them, of small CLIPs and without that library."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.tiny_clip import VIT, tiny_state

SIDES = {"transformer.": "text_model.", "visual.transformer.": "vision_model."}
PLAIN = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "logit_scale": "logit_scale",
}
BLOCK = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
         "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}  # fmt: skip


def hf_state(config: dict = VIT, *, seed: int = 0) -> dict[str, Tensor]:
    """The small CLIP's weights under Hugging Face's names."""
    found = {}
    for name, value in tiny_state(config, seed=seed).items():
        if name in PLAIN:
            found[PLAIN[name]] = value
        elif name == "text_projection":
            found["text_projection.weight"] = value.T.contiguous()
        elif name == "visual.proj":
            found["visual_projection.weight"] = value.T.contiguous()
        else:
            ours = "visual.transformer." if name.startswith("visual.") else "transformer."
            _, number, rest = name.removeprefix(ours).split(".", 2)
            layer = f"{SIDES[ours]}encoder.layers.{number}."
            if rest.startswith("attn.in_proj"):
                rows = len(value) // 3
                for place, part in enumerate("qkv"):
                    own = value[place * rows : (place + 1) * rows].clone()
                    found[f"{layer}self_attn.{part}_proj.{rest.rpartition('_')[2]}"] = own
            else:
                module, _, kind = rest.rpartition(".")
                found[f"{layer}{BLOCK[module]}.{kind}"] = value
    return found


def hf_config(config: dict = VIT, *, quick_gelu: bool = True, end: int = 2) -> dict:
    """Its `config.json`."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    act = "quick_gelu" if quick_gelu else "gelu"
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": config["embed_dim"],
        "text_config": {
            "hidden_size": text["width"], "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"], "num_attention_heads": text["heads"],
            "hidden_act": act, "eos_token_id": end, "top_k": 50,
        },
        "vision_config": {
            "hidden_size": vision["width"], "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"], "num_attention_heads": vision["width"] // 64,
            "hidden_act": act, "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
    }  # fmt: skip


def save_hf(folder: Path, *, config: dict = VIT, seed: int = 0, **more: object) -> Path:
    """A folder of `config.json` and `model.safetensors`; `more` as for `hf_config`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hf_config(config, **more)))  # pyright: ignore
    save_file(hf_state(config, seed=seed), folder / "model.safetensors")
    return folder


def save_processor(folder: Path, **changes: object) -> None:
    """CLIP's `preprocessor_config.json` for images of 32 pixels."""
    square = {"height": 32, "width": 32}
    usual = {
        "do_resize": True, "size": {"shortest_edge": 32}, "do_center_crop": True,
        "crop_size": square, "resample": 3, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps({**usual, **changes}))


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's own vocabulary as Hugging Face writes it."""
    own = open_clip.SimpleTokenizer()
    named = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    merges = [(first, second) for first, second in own.bpe_ranks]
    return {named.get(t, t): i for t, i in own.encoder.items()}, merges


def small_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All letters and their ends, two merges, start and end: a vocabulary of CLIP's form."""
    letters = list(open_clip.SimpleTokenizer().byte_encoder.values())
    merges = [("c", "a"), ("ca", "t</w>")]
    tokens = [*letters, *(f"{a}</w>" for a in letters), *(a + b for a, b in merges)]
    return {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}, merges


def save_vocabulary(folder: Path, ids: dict, merges: list, *, whole: bool = False) -> None:
    """`vocab.json` and `merges.txt`, or `whole` in `tokenizer.json`."""
    pairs = [" ".join(pair) for pair in merges]
    if whole:
        stored = {"model": {"type": "BPE", "vocab": ids, "merges": [p.split(" ") for p in pairs]}}
        (folder / "tokenizer.json").write_text(json.dumps(stored))
        return
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))


def save_halves(folder: Path, *, seed: int = 0) -> Path:
    """A text tower and an image tower with their projections, each in a folder of its own."""
    whole, state = hf_config(), hf_state(seed=seed)
    for name, side, key in (("text_encoder", "text", "text_projection.weight"),
                            ("image_encoder", "vision", "visual_projection.weight")):  # fmt: skip
        place = folder / name
        place.mkdir(parents=True)
        kind = {"model_type": f"clip_{side}_model", "projection_dim": VIT["embed_dim"]}
        (place / "config.json").write_text(json.dumps({**whole[f"{side}_config"], **kind}))
        own = {k: v for k, v in state.items() if k.startswith(f"{side}_model.") or k == key}
        save_file(own, place / "model.safetensors")
    return folder


def save_shards(folder: Path, *, suffix: str = "safetensors") -> Path:
    """The weights of `save_hf` in two files and an index instead of one."""
    state = hf_state()
    (folder / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names, listed = sorted(state), {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-0000{number}-of-00002.{suffix}"
        own = {name: state[name] for name in part}
        (save_file if suffix == "safetensors" else torch.save)(own, folder / file)
        listed |= dict.fromkeys(part, file)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": listed}))
    return folder
