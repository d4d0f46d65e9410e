"""Tokenizers of Hugging Face folders, of their vocabulary files alone; nothing that they name runs.

CLIP's own vocabulary is tokenised by the tokenizer that ships with open_clip, another byte-pair
vocabulary of CLIP's form by the same one with other tables. SigLIP's are those of `tokenizer.json`,
which the library `tokenizers` reads.

B texts, L positions of the text tower.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.rules import read_json
from ncscope.clip.whole_texts import LongPromptError, WholeTexts, too_long
from ncscope.errors import BackboneError, brief, shown
from ncscope.opening import read_text

JSON, VOCABULARY, MERGES, SETTINGS = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
)  # fmt: skip
_MOST = 64 * 2**20  # bytes; the largest known, Gemma's of 256 000 tokens, takes about 35
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LEFT = ("GemmaTokenizer", "Siglip2Tokenizer")  # pad there where their settings do not say


@dataclass(frozen=True)
class Vocabulary:
    """A byte-pair vocabulary: ids by token, merges in their order, tokens that were added."""

    ids: dict[str, int]
    merges: list[tuple[str, str]]
    added: tuple[str, ...] = ()


def clip_tokenizer(
    clip: Any, folder: Path | None, *, size: int, length: int, end: int | None
) -> tuple[Callable[[list[str]], Tensor], list[str]]:
    """The tokenizer of a CLIP's folder, and notes.

    Args:
        folder: with `vocab.json` and `merges.txt`, or `tokenizer.json`; None: no such files.
        size: rows of the model's token embedding.
        end: the id at which the model reads its text; None: at the largest.

    Raises:
        BackboneError: files that are no such vocabulary, or one that is not the model's.
    """
    own = clip.SimpleTokenizer(context_length=length)
    where = str(folder) if folder else "the model"
    notes: list[str] = []
    if folder is None:
        if size != own.vocab_size:
            raise BackboneError(
                f"its model has {size} tokens and no tokenizer beside it; expected {VOCABULARY} "
                f"and {MERGES}, or {JSON}"
            )
        notes.append("no tokenizer beside the model: CLIP's own vocabulary is taken")
    else:
        _exchange(own, read_vocabulary(folder), where)
    if own.vocab_size > size:
        raise BackboneError(
            f"{where}: a vocabulary of {own.vocab_size} tokens; the model has {size}"
        )
    if end not in (None, own.eot_token_id):
        raise BackboneError(
            f"{where}: texts end in the token {own.eot_token_id}, and the model reads them at "
            f"`eos_token_id` {end}; expected one number"
        )
    if end is None and own.vocab_size < size:
        notes.append(f"the model has {size - own.vocab_size} more tokens than its tokenizer writes")
    return WholeTexts(own, length), notes


def _exchange(own: Any, read: Vocabulary, where: str) -> None:
    """Give open_clip's tokenizer another vocabulary, unless it is the same one."""
    named = {_START: own.decoder[own.sot_token_id], _END: own.decoder[own.eot_token_id]}
    ids = {named.get(token, token): number for token, number in read.ids.items()}
    if read.added:
        raise BackboneError(
            f"{where}: its tokenizer has added tokens ({shown([brief(t) for t in read.added])}); "
            f"expected CLIP's own two alone: remove them, and their rows of the embedding"
        )
    if ids == own.encoder and read.merges == list(own.bpe_ranks):
        return
    letters = set(own.byte_encoder.values())
    lacking = letters - ids.keys() | {f"{one}</w>" for one in letters} - ids.keys()
    lacking |= {a + b for a, b in read.merges} - ids.keys()
    if lacking or any(token not in read.ids for token in named):
        raise BackboneError(
            f"{where}: no byte-pair vocabulary of CLIP's form: it lacks "
            f"{brief(min(lacking, default=_END))}"
        )
    if sorted(ids.values()) != list(range(len(ids))) or max(ids.values()) != read.ids[_END]:
        raise BackboneError(
            f"{where}: token ids are not 0..{len(ids) - 1} with {_END} the largest, which is where "
            f"a text is read"
        )
    own.encoder, own.decoder = ids, {number: token for token, number in ids.items()}
    own.bpe_ranks = {pair: rank for rank, pair in enumerate(read.merges)}
    own.vocab_size = len(ids)
    own.sot_token_id, own.eot_token_id = read.ids[_START], read.ids[_END]
    own.all_special_ids = [own.sot_token_id, own.eot_token_id]


def read_vocabulary(folder: Path) -> Vocabulary:
    """`vocab.json` with `merges.txt`, else the model in `tokenizer.json`.

    Raises:
        BackboneError: unreadable, or not of this form.
    """
    path = folder / VOCABULARY
    if path.is_file() and (folder / MERGES).is_file():
        ids, listed = read_json(path, most=_MOST), _lines(folder / MERGES)
        added: object = read_json(folder / "added_tokens.json") if (
            folder / "added_tokens.json"
        ).is_file() else {}  # fmt: skip
        names = list(added) if isinstance(added, dict) else []
    else:
        path = folder / JSON
        stored = read_json(path, most=_MOST)
        model = stored.get("model") if isinstance(stored, dict) else None
        if not isinstance(model, dict) or model.get("type") != "BPE":
            raise BackboneError(f"{path}: its `model` is no byte-pair encoding; expected CLIP's")
        ids, listed = model.get("vocab"), model.get("merges")
        entries = stored.get("added_tokens") or []
        names = [e.get("content") for e in entries if isinstance(e, dict)]
    if not isinstance(ids, dict) or not all(type(number) is int for number in ids.values()):
        raise BackboneError(f"{path}: expected an object of tokens and their numbers")
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in _list(listed)]
    if not all(len(m) == 2 and all(isinstance(part, str) for part in m) for m in merges):
        raise BackboneError(f"{path}: merges that are no pairs of tokens")
    added = tuple(str(name) for name in names if name not in (_START, _END))
    return Vocabulary(ids, merges, added)  # pyright: ignore[reportArgumentType]


def _list(listed: object) -> list[Any]:
    good = isinstance(listed, list) and all(isinstance(m, str | list) for m in listed)
    return listed if good else [""]  # pyright: ignore


def _lines(path: Path) -> list[str]:
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(f"{path}: cannot be read ({error})") from None
    return [line for line in lines[lines[0].startswith("#version") :] if line]


@dataclass(frozen=True, eq=False)
class JsonTokens:
    """Texts to (B, L) ids of a `tokenizer.json`; a text that does not fit is refused."""

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    clean: Callable[[str], str]
    length: int
    padding: int
    left: bool

    def __call__(self, texts: list[str]) -> Tensor:
        """(B, L) token ids.

        Raises:
            LongPromptError: a text has more than L tokens.
        """
        rows = torch.full((len(texts), self.length), self.padding)
        for row, text in zip(rows, texts, strict=True):
            ids = self.encode(self.clean(text))
            if (count := len(ids)) > self.length:
                lost = self.decode(ids[self.length - 1 : -1])
                raise LongPromptError(too_long(text, count, self.length, lost), text)
            place = slice(self.length - count, None) if self.left else slice(count)
            row[place] = torch.tensor(ids, dtype=rows.dtype)
        return rows


def siglip_tokenizer(clip: Any, folder: Path, *, size: int, length: int) -> JsonTokens:
    """The tokenizer of a SigLIP's folder.

    Raises:
        BackboneError: no `tokenizer.json`, one that is not the model's, or no library to read it.
    """
    path = folder / JSON
    if not path.is_file():
        raise BackboneError(
            f"{folder}: no {JSON} in it, which a SigLIP's text is tokenised with; "
            f"AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers writes one"
        )
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    settings = settings if isinstance(settings, dict) else {}
    try:
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise BackboneError(
            f"{path} is read by the library tokenizers, which is not installed: pip install "
            f'"ncscope[hf]"'
        ) from None
    try:
        found = Tokenizer.from_str(read_text(path)) if path.stat().st_size <= _MOST else None
    except Exception as error:  # whatever the library says of it
        raise BackboneError(f"{path}: no readable tokenizer ({str(error)[:120]!r})") from None
    if found is None or found.get_vocab_size() > size:
        raise BackboneError(f"{path}: more tokens than the model's {size}, or above {_MOST} bytes")
    found.no_truncation()
    found.no_padding()
    kind = str(settings.get("tokenizer_class", "")).removesuffix("Fast")
    ends = [_id(found, path, settings, key) for key in ("bos_token", "eos_token")]
    first, last = (
        _switch(settings, key, default=default)
        for key, default in (
            ("add_bos_token", None), ("add_eos_token", True if kind == "SiglipTokenizer" else None)
        )
    )  # fmt: skip

    def encode(text: str) -> list[int]:
        if first is None and last is None:
            return found.encode(text).ids
        ids = found.encode(text, add_special_tokens=False).ids
        ids = [ends[0], *ids] if first and ends[0] is not None else ids
        return [*ids, ends[1]] if last and ends[1] is not None else ids

    padding = _id(found, path, settings, "pad_token")
    if padding is None:
        raise BackboneError(f"{folder / SETTINGS}: no `pad_token`, which fills a text up")
    side = settings.get("padding_side") or ("left" if kind in _LEFT else "right")
    canonical = clip.tokenizer.canonicalize_text
    clean = canonical if kind == "SiglipTokenizer" else str.lower
    return JsonTokens(encode, found.decode, clean, length, padding, side == "left")


def _switch(settings: Mapping[str, Any], key: str, *, default: bool | None) -> bool | None:
    value = settings.get(key)
    return value if isinstance(value, bool) else default


def _id(found: Any, path: Path, settings: Mapping[str, Any], key: str) -> int | None:
    """The number of a named token; None where none is named."""
    token = settings.get(key)
    token = token.get("content") if isinstance(token, dict) else token
    if token is None:
        return None
    number = found.token_to_id(token) if isinstance(token, str) else None
    if number is None:
        raise BackboneError(f"{path}: lacks the `{key}` {brief(token)} of {SETTINGS}")
    return number
