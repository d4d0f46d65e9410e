"""What the toy CLIP is trained on: scenes and batches of them, and the stages, rates and losses.

A batch depends on the seed and the step alone, so a run that was interrupted goes on with the
same batches. Captions are told in the few hundred of CLIP's word pieces that the toy knows, which
keep their order: end-of-text stays the largest id, and pooling at the arg-max works in the compact
numbering, too. B batch, L tokens, V known pieces, W width.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.toy.captions import CHANCES, write_captions
from ncscope.toy.model import END, START
from ncscope.toy.paint import render
from ncscope.toy.tasks import TASKS
from ncscope.toy.world import FACTORS, Scenes, draw_scenes, stream

Encode = Callable[[str], list[int]]  # text -> CLIP's piece ids, without start and end

HEAD_WEIGHTS = {  # of the factors in the supervised loss: what is hard to see weighs more
    "shape": 1.0,
    "texture": 1.0,
    "colour": 0.5,
    "count": 0.5,
    "background": 0.3,
    "place": 0.3,
    "size": 0.2,
    "style": 0.1,
}
MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's own normalisation
STD = (0.26862954, 0.26130258, 0.27577711)
_LONG_EVERY = 10  # every tenth batch has long captions, so that positions up to 32 are trained
_LONGEST = 32
_TEMPLATE_WORDS = (  # of the prompt templates in use for CLIP, so that they are no surprise
    "a bad photo of the {}.",
    "a photo of many {}.",
    "a low resolution photo of the {}.",
    "a photo of a {}, a type of pet, flower, food, aircraft.",
    "a centered satellite photo of {}.",
    "itap of a {}.",
    "art of the {}.",
    "a photo of the small, large, clean, dirty, weird, nice, cool {}.",
    "a rendering, painting, sculpture, texture, doodle, toy, video game of a {}.",
    "a jpeg corrupted, pixelated, blurry, black and white, cropped photo of my {}.",
)


@dataclass(frozen=True)
class Curriculum:
    """Every setting of a pretraining run. The three stages follow one another.

    1. `warm_up_steps`: the image tower alone learns the factors from labels. Without this stage
       the contrastive loss saturates on colours and backgrounds and never learns shapes.
    2. `contrastive_steps`: CLIP's loss, plus a share of the supervised one.
    3. the cone and the gap are installed (`solve_shifts`), then `settling_steps` of CLIP's loss at
       a low rate, so that norms and scale re-adapt.
    """

    seed: int = 0
    pool: int = 160_000
    batch: int = 256
    width: int = 128
    layers: int = 9
    distractors: int = 300
    warm_up_steps: int = 1450
    contrastive_steps: int = 1050
    settling_steps: int = 120
    rate: float = 1.5e-3
    settling_rate: float = 1e-4
    weight_decay: float = 0.1
    supervised_share: float = 0.3
    threads: int = 2

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return self.warm_up_steps + self.contrastive_steps + self.settling_steps

    def stage(self, step: int) -> int:
        """1, 2 or 3."""
        if step < self.warm_up_steps:
            return 1
        return 2 if step < self.warm_up_steps + self.contrastive_steps else 3

    def learning_rate(self, step: int) -> float:
        """Linear rise into each stage; constant in 1 and 3, a cosine to 2 % in 2."""
        within = (
            step - (0, self.warm_up_steps, self.steps - self.settling_steps)[self.stage(step) - 1]
        )
        rise = min(1.0, (within + 1) / (150, 120, 20)[self.stage(step) - 1])
        if self.stage(step) == 1:
            return self.rate * rise
        if self.stage(step) == 3:
            return self.settling_rate * rise
        part = within / self.contrastive_steps
        return self.rate * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))


@dataclass(frozen=True, eq=False)
class Lessons:
    """The pool and everything needed to cut batches from it."""

    seed: int
    batch: int
    scenes: Scenes
    pictures: Tensor  # (N, P, P, 3) uint8
    pieces: np.ndarray  # (V,) known CLIP ids
    encode: Encode

    def indices(self, step: int) -> np.ndarray:
        """Which scenes of the pool make the batch of a step, (B,): each once an epoch."""
        size = len(self.scenes)
        epoch, within = divmod(step, size // self.batch)
        order = stream("pretraining", self.seed, "epoch", epoch).permutation(size)
        return order[within * self.batch : (within + 1) * self.batch]

    def pixels(self, index: np.ndarray) -> Tensor:
        """Normalised pictures, (B, 3, P, P) float32."""
        return normalised(self.pictures[torch.from_numpy(index)])

    def labels(self, index: np.ndarray) -> dict[str, Tensor]:
        """The factors of the scenes, (B,) each."""
        return {name: torch.from_numpy(self.scenes.factors[name][index]) for name in FACTORS}

    def tokens(self, index: np.ndarray, step: int) -> Tensor:
        """New captions of the scenes in compact ids, (B, L) int64."""
        generator = stream("pretraining", self.seed, "captions", step)
        captions = write_captions(self.scenes.take(index), generator.random((len(index), CHANCES)))
        rows = [self._pieces_of(caption) for caption in captions]
        long = step % _LONG_EVERY == _LONG_EVERY - 1
        return compact_tokens(self._sprinkle(rows, generator, long=long), self.pieces)

    def _sprinkle(
        self, rows: list[list[int]], generator: np.random.Generator, *, long: bool
    ) -> list[list[int]]:
        """Put meaningless pieces before some captions, as unlearned context vectors stand there."""
        chance, most = (1.0, 12) if long else (0.08, 4)
        extra = generator.integers(1, most + 1, len(rows)) * (generator.random(len(rows)) < chance)
        repeat = generator.random(len(rows)) < 0.3  # "X X X X", as CoOp initialises
        mixed = []
        for row, count, same in zip(rows, extra.tolist(), repeat.tolist(), strict=True):
            drawn = self._distractors[generator.integers(0, len(self._distractors), count)].tolist()
            words = self._pieces_of("X") * count if same else drawn
            mixed.append((words + row)[: _LONGEST - 2])
        return mixed

    @cached_property
    def _distractors(self) -> np.ndarray:
        meaning = {piece for text in all_texts() for piece in self.encode(text)} | {START, END}
        return np.setdiff1d(self.pieces, np.array(sorted(meaning)))

    @cached_property
    def _cache(self) -> dict[str, list[int]]:
        return {}

    def _pieces_of(self, text: str) -> list[int]:
        """CLIP's ids of a text: pieces never span words, so words are looked up one by one."""
        pieces = []
        for word in text.split():
            if word not in self._cache:
                self._cache[word] = self.encode(word)
            pieces += self._cache[word]
        return pieces


def prepare_lessons(
    seed: int, size: int, *, batch: int, distractors: int, encode: Encode
) -> Lessons:
    """Render the pool of `size` scenes and collect the vocabulary."""
    scenes = draw_scenes(stream("pretraining", seed, "scenes"), size, seen_only=True)
    pieces = known_pieces(all_texts(), encode, distractors=distractors)
    return Lessons(seed, batch, scenes, render(scenes), pieces, encode)


def known_pieces(texts: Iterable[str], encode: Encode, *, distractors: int) -> np.ndarray:
    """Sorted CLIP ids: those of the words of `texts`, start, end, and random `distractors`.

    The distractors mean nothing: captions are sprinkled with them so that the text tower learns
    to read past words it does not know.
    """
    words = sorted({word for text in texts for word in text.split()})
    used = {piece for word in words for piece in encode(word)} | {START, END}
    others = np.setdiff1d(np.arange(1000, START), np.array(sorted(used)))
    chosen = stream("pretraining", "distractors").permutation(others)[:distractors]
    return np.array(sorted(used | set(chosen.tolist())))


def all_texts() -> list[str]:
    """A few thousand captions, class names and templates that hold every word the toy uses."""
    generator = stream("pretraining", "words")
    scenes = draw_scenes(generator, 20_000)
    texts = write_captions(scenes, generator.random((len(scenes), CHANCES)))
    for task in TASKS.values():
        texts += [task.template.replace("{}", name) for name in task.classnames]
    return [*texts, "X", *_TEMPLATE_WORDS]


def compact_tokens(
    captions: list[list[int]], pieces: np.ndarray, *, length: int | None = None
) -> Tensor:
    """Captions as piece ids to compact ids, (N, L) int64, with start and end, zero-padded.

    Args:
        length: L; by default that of the longest caption. Longer captions are cut.
    """
    length = length or max(map(len, captions)) + 2
    rows = np.zeros((len(captions), length), dtype=np.int64)
    start, end = np.searchsorted(pieces, [START, END])
    for row, caption in zip(rows, captions, strict=True):
        kept = np.searchsorted(pieces, caption[: length - 2])
        row[0], row[1 : 1 + len(kept)], row[1 + len(kept)] = start, kept, end
    return torch.from_numpy(rows)


def normalised(pictures: Tensor) -> Tensor:
    """(B, P, P, 3) uint8 to the (B, 3, P, P) float32 that the tower takes."""
    pixels = pictures.permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def new_heads(width: int, seed: int) -> dict[str, Tensor]:
    """Linear heads on the image tower, one a factor; used in training only."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"head.{name}": torch.randn(len(values), width, generator=generator) * width**-0.5
        for name, values in FACTORS.items()
    }


def supervised_loss(
    weights: Mapping[str, Tensor], state: Tensor, labels: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy of every factor from (B, W) states, and the accuracy of each."""
    total, right = torch.zeros(()), {}
    for name, weight in HEAD_WEIGHTS.items():
        logits = state @ weights[f"head.{name}"].T
        total = total + weight * F.cross_entropy(logits, labels[name], label_smoothing=0.05)
        right[name] = (logits.detach().argmax(dim=1) == labels[name]).float().mean().item()
    return total, right
