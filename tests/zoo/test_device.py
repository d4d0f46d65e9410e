import pytest
import torch

from ncscope.clip.backbone import check_precision, choose_device
from ncscope.errors import BackboneError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def without_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def with_two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("without_accelerator")
def test_auto_falls_back_to_the_cpu():
    assert choose_device("auto") == CPU


@pytest.mark.usefixtures("with_two_gpus")
def test_auto_takes_a_gpu():
    assert choose_device("auto") == CUDA
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.usefixtures("without_accelerator")
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "no GPU is visible|built without CUDA"),
        ("cuda:0", "no GPU is visible|built without CUDA"),
        ("mps", "which this machine does not have"),
        ("gpu", "expected auto, cpu, cuda, cuda:N or mps"),
        ("cpu:1", "expected auto"),
        ("cuda:x", "expected auto"),
    ],
)
def test_an_absent_device_is_refused(device, message):
    with pytest.raises(BackboneError, match=message):
        choose_device(device)


@pytest.mark.usefixtures("with_two_gpus")
def test_a_gpu_beyond_the_last_is_refused():
    with pytest.raises(BackboneError, match="only 2 GPUs, counted from 0"):
        choose_device("cuda:2")


def test_half_precision_is_for_devices_that_gain_by_it():
    for device in (CPU, CUDA, MPS):
        check_precision("fp32", device)
    check_precision("bf16", CPU)
    check_precision("fp16", CUDA)
    with pytest.raises(BackboneError, match="fp16 needs a CUDA device"):
        check_precision("fp16", CPU)
    with pytest.raises(BackboneError, match="bf16 is not used on mps"):
        check_precision("bf16", MPS)
    with pytest.raises(BackboneError, match="`precision` is 'half'; expected fp32, bf16, fp16"):
        check_precision("half", CPU)
