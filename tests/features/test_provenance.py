"""What a file says of its origin is shown and written again, or passed over and named."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ncscope.features.bundle import read_features
from ncscope.features.provenance import read_provenance
from ncscope.page.analyze import analyze


@pytest.mark.parametrize(
    ("text", "kept", "words"),
    [
        ('{"x": NaN}', {}, "its provenance holds NaN or infinity and was passed over"),
        ('{"x": [1e999]}', {}, "holds NaN or infinity"),
        ('{"x": 1' + 400 * "0" + "}", {}, "holds a number beyond 64 bits"),
        ('{"x": 1' + 5000 * "0" + "}", {}, "is no JSON"),
        ('{"x": "\\ud800"}', {}, "holds half a character"),
        ('{"\\ud800": 1}', {}, "holds half a character"),
        ('{"x": ' + 40 * "[" + 40 * "]" + "}", {}, "is nested more than 32 deep"),
        (100_000 * "[", {}, "is no JSON"),
        ("[1]", {}, "is no JSON object"),
        ("", {}, "is no JSON"),
        ('{"warnings": [1, 2]}', {}, "in its provenance `warnings` is not a list of texts"),
        ('{"warnings": 5, "a": 1}', {"a": 1}, "`warnings` is not a list of texts, and was passed"),
        ('{"source": {}, "data": 5}', {}, "`source` is not text; `data` is not text"),
        ('{"learner": []}', {}, "`learner` is not an object"),
        ('{"content": {"images": []}}', {}, "`content` is not an object of texts"),
        ('{"source": null}', {"source": None}, None),
        ("{}", {}, None),
    ],
)
def test_what_cannot_be_written_again_is_passed_over_and_named(text, kept, words):
    found, note = read_provenance(text)
    assert found == kept
    assert (note is None) == (words is None)
    assert words is None or words in str(note)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text() | st.sampled_from(["warnings", "source", "learner"]), VALUES))
def test_what_is_kept_can_be_written_and_is_what_was_said(said):
    found, note = read_provenance(json.dumps(said))
    again = json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(again) == found
    assert note or found == json.loads(json.dumps(said))


@pytest.mark.parametrize("text", ['{"x": NaN}', '{"warnings": [1, 2]}', '{"warnings": 5}'])
@pytest.mark.parametrize("source", ["5", "{}", '"name"'])
def test_features_of_any_provenance_are_analysed(tmp_path, text, source):
    text = text[:-1] + f', "source": {source}}}'
    arrays = {"text": torch.randn(5, 8), "image": torch.randn(40, 8), "label": torch.arange(40) % 5}
    path = tmp_path / "f.safetensors"
    save_file(arrays, path, {"format": "ncscope features 1", "provenance": text})
    assert "was passed over" in read_features(path).warnings[0]
    report = analyze(path, bootstrap=0)
    assert "was passed over" in report.records[0]["warnings"][0]
    page = {file.name for file in report.save(tmp_path / "o")}
    assert {"metrics.json", "report.html"} <= page
