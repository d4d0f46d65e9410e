"""Files of a report: tidy CSV, strict JSON, and never half of either."""

import csv
import json
from pathlib import Path

import pytest

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.tables import write_csv, write_json, write_text
from ncscope.errors import DataError
from ncscope.page.report import Report
from tests.made_features import noisy


@pytest.fixture(scope="module")
def records():
    return Report((measure(noisy(), bootstrap=3, train_counts=[9, 8, 7, 3, 2, 1]),)).records


def test_json_reads_back_as_it_was(records, tmp_path):
    path = write_json(records, tmp_path / "metrics.json")
    assert json.loads(path.read_text()) == {"format": 1, "runs": records}


def test_csv_holds_every_measure_class_and_group(records, tmp_path):
    path = write_csv(records, tmp_path / "metrics.csv")
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("source", "data", "scope", "name", "measure", "value", "low", "high")
    ]
    whole = {row["measure"]: row for row in rows if row["scope"] == "all"}
    assert set(whole) == set(records[0]["measures"])
    assert float(whole["nc1/default"]["value"]) == records[0]["summary"]["nc1"]
    assert float(whole["nc1/default"]["low"]) <= float(whole["nc1/default"]["value"])
    assert {row["name"] for row in rows if row["scope"] == "class"} == {
        f"class {k}" for k in range(6)
    }
    assert {row["name"] for row in rows if row["scope"] == "group"} == {"head", "medium", "tail"}


def test_a_class_name_with_commas_and_quotes_survives(records, tmp_path):
    name = 'a "b", c\nd'
    renamed = [{**records[0], "per_class": [{**records[0]["per_class"][0], "name": name}]}]
    with write_csv(renamed, tmp_path / "metrics.csv").open(newline="") as stream:
        names = {row["name"] for row in csv.DictReader(stream) if row["scope"] == "class"}
    assert names == {name}


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    path.write_text("before")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"metrics.json: cannot be written \(No space left"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="cannot be made a folder"):
        Report((measure(noisy(), bootstrap=0),)).save(tmp_path / "out")
