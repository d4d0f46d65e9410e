"""Files changed so that they are damaged or lie: bytes, values of JSON, words of text, entries.

Every generator is seeded; a mutant that was not refused is made again from its number.
"""

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

from tests.checkpoint.fuzz import damaged

# raw JSON, since Python's writer makes none of most of these
_NASTY = (
    *("null", "true", "-1", "0", "0.5", "1e999", "-1e999", "NaN", "Infinity", "1e-320", '""', "[]"),
    *("{}", "9" * 20, "-" + "9" * 20, "9" * 400, "9" * 5000, '"9"', '"\\ud800"', '"\\u0000"'),
    *('"\\u001b[31m"', '"a\\nb"', '"=HYPERLINK(1)"', '"../../etc/passwd"', '"/dev/zero"', "[null]"),
    *(
        "[" * 2000,
        "[" * 900 + "]" * 900,
        '{"a": ' * 900 + "1" + "}" * 900,
        '"' + "x" * 70_000 + '"',
    ),
    *("[1, 2]", '["a", 2]', '{"a": NaN}', "18446744073709551616", "-9223372036854775809"),
)
_WORDS = (
    *("", "-1", "0", "nan", "inf", "1e999", "9" * 20, "9" * 400, "9" * 5000, "\x00", "\x1b[31m"),
    *("\ufeff", "\u202e", "é", "=1+1", "../..", "/dev/zero", '"', '""', "'", "[", "]", "{", "}"),
    *(",", ";", "#", "\\", "\r", "\n", "\t", "true", "null", "1.5", "x" * 5000),
)
_TOKEN = re.compile(r"[^\s,=\[\]{}\":]+")


def of_bytes(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """Truncations, flipped, overwritten, cut and doubled bytes."""
    return damaged(content, cases=cases, seed=seed)


def of_words(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """Text with a word, or two, exchanged for what is no such word, or a line doubled or gone."""
    generator = random.Random(seed)
    text = content.decode()
    places = [found.span() for found in _TOKEN.finditer(text)]
    for _ in range(cases):
        if generator.random() < 0.1:
            lines = text.splitlines(keepends=True)
            place = generator.randrange(len(lines))
            lines[place : place + 1] = generator.choice([[], [lines[place]] * 2])
            changed = "".join(lines)
        else:
            start, stop = generator.choice(places)
            changed = text[:start] + generator.choice(_WORDS) + text[stop:]
        yield changed.encode()


def of_json(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """JSON with a value, at any depth, exchanged for one of another kind, or an entry gone."""
    value = json.loads(content)
    generator = random.Random(seed)
    for _ in range(cases):
        yield _changed(value, generator).encode()


def of_lines(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """A JSON object a line, one line of it changed as `of_json` does."""
    lines = content.decode().splitlines()
    generator = random.Random(seed)
    for _ in range(cases):
        place = generator.randrange(len(lines))
        new = _changed(json.loads(lines[place]), generator)
        yield "\n".join([*lines[:place], new, *lines[place + 1 :], ""]).encode()


def of_safetensors(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """A sound length before a changed header: places, shapes, dtypes, and words inside words."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    generator = random.Random(seed)
    for _ in range(cases):
        words = header.get("__metadata__", {})
        inner = [key for key, text in words.items() if text[:1] in "[{"]
        if inner and generator.random() < 0.6:
            key = generator.choice(inner)
            text = _changed(json.loads(words[key]), generator)
            new = json.dumps({**header, "__metadata__": {**words, key: text}})
        else:
            new = _changed(header, generator)
        yield struct.pack("<Q", len(new.encode())) + new.encode() + content[8 + length :]


def of_zip(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """A sound archive around a changed entry: no checksum tells of the change."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        entries = {info.filename: archive.read(info) for info in infos}
    generator = random.Random(seed)
    for case in range(cases):
        name = generator.choice(list(entries))
        [changed] = damaged(entries[name], cases=1, seed=seed + case) if entries[name] else [b"x"]
        if generator.random() < 0.5 and b"(" in entries[name][:200]:  # a shape in a header
            changed = _other_digits(entries[name], generator)
        yield undated({**entries, name: changed}, infos[0].compress_type)


def undated(entries: dict[str, bytes], compression: int) -> bytes:
    """A zip archive of these entries that does not depend on when it is made."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in entries.items():
            archive.writestr(zipfile.ZipInfo(name), body, compression)
    return stream.getvalue()


def _other_digits(content: bytes, generator: random.Random) -> bytes:
    copy = bytearray(content)
    places = [place for place in range(min(200, len(copy))) if copy[place] in b"0123456789()<>fi,"]
    for _ in range(generator.choice([1, 1, 2])):
        copy[generator.choice(places)] = generator.choice(b"0123456789(),<>OfiUb' ")
    return bytes(copy)


def _changed(value: Any, generator: random.Random) -> str:
    """The JSON of a value with one entry of it changed."""
    mark, choice = "@@changed@@", generator.random()
    path = generator.choice(_paths(value))
    if not path:
        return generator.choice(_NASTY)
    copy = json.loads(json.dumps(value))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    if choice < 0.15:
        del holder[path[-1]]
        return json.dumps(copy)
    if choice < 0.25 and isinstance(holder, dict):
        holder[generator.choice(["", "more", "\ud800", "__proto__"])] = mark
    else:
        holder[path[-1]] = mark
    return json.dumps(copy).replace(f'"{mark}"', generator.choice(_NASTY))


def _paths(value: Any) -> list[tuple[Any, ...]]:
    """The places of all values inside a value, itself first."""
    found: list[tuple[Any, ...]] = [()]
    entries = value.items() if isinstance(value, dict) else ()
    entries = enumerate(value) if isinstance(value, list) else entries
    for key, entry in entries:
        found += [(key, *rest) for rest in _paths(entry)]
    return found
