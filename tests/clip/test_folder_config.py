"""A backbone folder's configuration is read by a list: what is not on it is refused in a line."""

import copy
import importlib.resources
import json
from pathlib import Path

import pytest

from ncscope.clip.folder_config import NAME, read_folder_config
from ncscope.errors import BackboneError
from tests.tiny_clip import VIT


def written(folder: Path, model: object, preprocess: object = None) -> Path:
    body = {"model_cfg": model} | ({} if preprocess is None else {"preprocess_cfg": preprocess})
    path = folder / NAME
    path.write_text(json.dumps(body))
    return path


def with_entry(part: str, key: str, value: object) -> dict:
    config = copy.deepcopy(VIT)
    (config if part == "model_cfg" else config.setdefault(part, {}))[key] = value
    return config


BY_NAME = [
    ("vision_cfg", "timm_model_name", "hf-hub:somebody/model"),
    ("vision_cfg", "timm_model_name", "vit_base_patch16_224"),
    ("vision_cfg", "timm_model_pretrained", True),
    ("text_cfg", "hf_model_name", "somebody/model"),
    ("text_cfg", "hf_tokenizer_name", "somebody/tokenizer"),
    ("text_cfg", "hf_model_pretrained", True),
    ("text_cfg", "tokenizer_mode", "clips"),
    ("multimodal_cfg", "hf_tokenizer_name", "x"),
]


@pytest.mark.parametrize(("part", "key", "value"), BY_NAME)
def test_what_a_file_names_is_not_fetched_unless_the_caller_vouches(tmp_path, part, key, value):
    config = with_entry(part, key, value)
    path = written(tmp_path, config)
    with pytest.raises(BackboneError, match=rf"`{part}.{key}` is .*add --trust-backbone") as error:
        read_folder_config(path, trust=False)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert read_folder_config(path, trust=True)[0] == config


REFUSED = [
    ("text_cfg", "tokenizer_kwargs", {"trust_remote_code": True}, "expected an object of `clean`"),
    ("text_cfg", "tokenizer_kwargs", {"clean": "eval"}, "expected an object of `clean`"),
    ("text_cfg", "tokenizer_kwargs", ["clean"], "expected an object of `clean`"),
    ("text_cfg", "auto_map", {"AutoTokenizer": ["evil.Tokenizer", None]}, "is no key that"),
    ("model_cfg", "cast_dtype", "float16", "is no key that"),
    ("model_cfg", "\x1b[31m\n", 1, r"\\x1b\[31m\\n` is no key that"),
    ("text_cfg", "layers", 10**9, "is 1000000000; expected a whole number in 1..128"),
    ("text_cfg", "layers", True, "is True; expected a whole number"),
    ("text_cfg", "layers", 2.0, "is 2.0; expected a whole number"),
    ("text_cfg", "width", -64, "is -64; expected a whole number in 1..8192"),
    ("text_cfg", "context_length", 10**400, "expected a whole number in 1..4096"),
    ("text_cfg", "vocab_size", 100, "is 100; expected a whole number in 49408..1048576"),
    ("text_cfg", "pool_type", {}, "is dict; expected one of 'argmax'"),
    ("text_cfg", "norm_kwargs", {"device": "cuda"}, r"expected an object of `eps` \(a number"),
    ("text_cfg", "mlp_ratio", float("nan"), "is nan; expected a number in 0.01..64"),
    ("vision_cfg", "image_size", 10**6, "expected a whole number in 1..1024, or a list of 2"),
    ("vision_cfg", "image_size", [32, 32, 32], "is list; expected a whole number in 1..1024"),
    ("vision_cfg", "layers", [1, 1, 1], "or a list of 4"),
    ("vision_cfg", "patch_size", 0, "expected a whole number in 1..1024"),
    ("vision_cfg", "pos_embed_type", "rotary", "is 'rotary'; expected one of 'learnable'"),
    ("model_cfg", "embed_dim", "32", "is '32'; expected a whole number"),
    ("model_cfg", "quick_gelu", 1, "is 1; expected true or false"),
    ("model_cfg", "multimodal_cfg", 5, "is 5; expected an object"),
]


@pytest.mark.parametrize(("part", "key", "value", "message"), REFUSED)
def test_a_key_or_value_that_is_not_on_the_list_is_refused(tmp_path, part, key, value, message):
    path = written(tmp_path, with_entry(part, key, value))
    with pytest.raises(BackboneError, match=message) as error:
        read_folder_config(path, trust=False)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("part", ["vision_cfg", "text_cfg"])
@pytest.mark.parametrize("value", [5, None, [], "x"])
def test_towers_that_are_no_objects_are_refused_whoever_vouches(tmp_path, trust, part, value):
    with pytest.raises(BackboneError, match=f"`{part}` is .*; expected a JSON object"):
        read_folder_config(written(tmp_path, {**VIT, part: value}), trust=trust)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"mode": "L"}, "expected one of 'RGB'"),
        ({"std": [0, 0, 0]}, "`preprocess_cfg.std` is list; expected a list of 3, each a number"),
        ({"mean": [0.5, 0.5]}, "expected a list of 3"),
        ({"size": 10**9}, "expected a whole number in 1..1024"),
        ({"fill_color": 1000}, "expected a whole number in 0..255"),
        ({"open_with": "sh"}, "is no key that"),
        ([1], "`preprocess_cfg` is no JSON object"),
    ],
)
def test_an_image_transform_that_is_not_on_the_list_is_refused(tmp_path, entry, message):
    with pytest.raises(BackboneError, match=message):
        read_folder_config(written(tmp_path, VIT, entry), trust=False)


def test_positions_are_bounded_since_memory_grows_with_their_square(tmp_path):
    config = copy.deepcopy(VIT)
    config["vision_cfg"] |= {"image_size": 1024, "patch_size": 8}
    with pytest.raises(BackboneError, match="1024 pixels in patches of 8; expected at most 64"):
        read_folder_config(written(tmp_path, config), trust=False)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / NAME
    with pytest.raises(BackboneError, match=r"no open_clip_config.json in it; expected an open_c"):
        read_folder_config(path, trust=False)
    for content, message in [
        (b"{", "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"[]", "no `model_cfg` with embed_dim"),
        (b" " * (2**20 + 1), "cannot be read .*at most 1,048,576 are read"),
    ]:
        path.write_bytes(content)
        with pytest.raises(BackboneError, match=message):
            read_folder_config(path, trust=False)


def published() -> list[Path]:
    folder = importlib.resources.files("open_clip") / "model_configs"
    return sorted(Path(str(folder)).glob("*.json"))


def test_every_published_model_of_open_clips_own_towers_is_on_the_list(tmp_path):
    own = 0
    for file in published():
        config = json.loads(file.read_text())
        words = json.dumps(config)
        if "timm_" in words or "hf_" in words:
            continue
        own += 1
        text = config["text_cfg"]
        if text["vocab_size"] < 49408 or set(text.get("tokenizer_kwargs", {})) - {"clean"}:
            continue  # another tokenizer, which such a folder does not hold
        assert read_folder_config(written(tmp_path, config), trust=False)[0] == config, file.name
    assert own > 40
