"""Learners whose text side is written prompts alone take descriptions of classes in their place."""

import json

import pytest
import torch

from ncscope.errors import CheckpointError, DataError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.zoo.learners import case
from tests.zoo.learners.test_clip_lora import save_lora

TEMPLATES = ("a drawing of a {}.", "{} seen from afar.")


def adapter(folder):
    state = learner_states.clip_adapter(case.SIZES)
    return case.save(folder, state, trainer="CLIP_Adapter", model="clip_adapter", log=None)


def lora(folder):
    return save_lora(folder / "lora_weights.pt", learner_states.clip_lora(case.SIZES))


def tip(folder):
    torch.save(torch.zeros(32, 80), folder / "keys_16shots.pt")
    return folder


def filled(template):
    return {name: [template.format(text)] for name, text in zip(case.NAMES, SPACED, strict=True)}


SPACED = case.sentences(case.NAMES, "")


@pytest.mark.parametrize("saved", [adapter, lora, tip])
def test_sentences_do_what_templates_with_their_words_do(tmp_path, backbone, saved):
    run = saved(tmp_path)
    sentences = {
        name: [each.format(text) for each in TEMPLATES]
        for name, text in zip(case.NAMES, SPACED, strict=True)
    }
    file = tmp_path / "sentences.json"
    file.write_text(json.dumps({"vtab/pets": sentences, "dtd": {"dotted": ["It is dotted."]}}))
    written, described, both, plain = (
        load_learner(run, backbone=backbone, options=options)
        for options in (
            LearnerOptions(template=TEMPLATES),
            LearnerOptions(descriptions=file, data_name="OxfordPets"),
            LearnerOptions(descriptions=filled(TEMPLATES[0]), template=TEMPLATES[1]),
            LearnerOptions(template=TEMPLATES[:1]),
        )
    )
    expected = written.text_features(case.NAMES)
    assert case.relative(described.text_features(case.NAMES), expected) < 1e-6
    assert case.relative(both.text_features(case.NAMES), expected) < 1e-6
    assert case.relative(plain.text_features(case.NAMES), expected) > 0.01
    assert described.description["descriptions"] == {"classes": 5, "sentences": 10}
    assert "templates" not in described.description
    assert both.description["templates"] == [TEMPLATES[1]]


def test_other_text_sides_refuse_them_by_name(tmp_path, backbone):
    run = case.save(tmp_path, learner_states.taskres(case.SIZES), log=None)
    options = LearnerOptions(
        residual_scale=1, classnames=case.NAMES, descriptions=filled(TEMPLATES[0])
    )
    with pytest.raises(CheckpointError, match="TaskRes has another text side than written prompts"):
        load_learner(run, backbone=backbone, options=options)


def test_a_class_without_sentences_is_named(tmp_path, backbone):
    given = LearnerOptions(descriptions=filled(TEMPLATES[0]))
    with pytest.raises(DataError, match="no descriptions of 2 classes"):
        load_learner(lora(tmp_path), backbone=backbone, options=given).text_features(case.NEW)
