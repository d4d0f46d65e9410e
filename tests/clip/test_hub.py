"""`hf-hub:NAME`: what is asked of the hub's client, and the one line where it has nothing."""

import huggingface_hub
import pytest
import torch
from torch.testing import assert_close

from ncscope.clip import hub
from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError
from tests.hf_folders import hf_state, save_hf
from tests.tiny_clip import save_folder, tiny_model


@pytest.fixture
def client(monkeypatch):
    """A client that has one folder, and what it was asked for."""
    asked = []

    def use(folder):
        def snapshot_download(repo, *, revision, allow_patterns):
            asked.append((repo, revision, allow_patterns))
            return str(folder)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        monkeypatch.setattr(hub, "reachable", lambda _: True)
        return asked

    return use


def pixels():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_model_of_the_hub_is_its_folder_under_the_hubs_name(client, tmp_path):
    asked = client(save_hf(tmp_path / "f"))
    backbone = load_backbone("hf-hub:openai/clip-vit@abc")
    assert_close(backbone.encode_image(pixels()), tiny_model().encode_image(pixels()))
    assert backbone.description["name"] == "hf-hub:openai/clip-vit@abc"
    assert [row[:2] for row in asked] == [("openai/clip-vit", "abc")] * 2
    assert asked[1][2] == ["model.safetensors", "model-*.safetensors"]


def test_older_weights_are_asked_for_where_there_are_no_others(client, tmp_path):
    folder = save_hf(tmp_path / "f")
    (folder / "model.safetensors").unlink()
    torch.save(hf_state(), folder / "pytorch_model.bin")
    asked = client(folder)
    load_backbone("hf-hub:a/b")
    assert asked[-1] == ("a/b", None, ["pytorch_model*.bin"])


def test_an_open_clip_folder_of_the_hub_is_read_as_one(client, tmp_path):
    asked = client(save_folder(tmp_path / "f"))
    backbone = load_backbone("hf-hub:laion/x")
    assert_close(backbone.encode_image(pixels()), tiny_model().encode_image(pixels()))
    assert "open_clip_model.safetensors" in asked[-1][2]


def test_without_a_network_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "reachable", lambda _: False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = r"hf-hub:no/model is not in the cache and could not be fetched \(\w+\); give a folder"
    with pytest.raises(BackboneError, match=message):
        load_backbone("hf-hub:no/model")


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:one", "hf-hub:a/b/c", "hf-hub:a/../b"])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(BackboneError, match="expected hf-hub:OWNER/NAME or with @REVISION"):
        load_backbone(name)
