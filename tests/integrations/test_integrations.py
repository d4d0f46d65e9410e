"""Callbacks and hooks in the trainers that they are for; each is skipped where that is missing."""

# What is missing has no types.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ncscope
from ncscope.diagnosis.summary import scalars
from ncscope.errors import DataError
from tests.made_features import noisy

# Foreign trainers warn of loaders, of loggers, and of each other.
pytestmark = pytest.mark.filterwarnings("default")
MADE = noisy(each=12)
assert MADE.image is not None
assert MADE.label is not None
assert MADE.text is not None
IMAGE, LABEL, TEXT = MADE.image, MADE.label, MADE.text


def reported(image=IMAGE, text=TEXT, label=LABEL, *, scale=100.0, prefix=""):
    """What a report says of these features, flat."""
    same = ncscope.Features(image, label, text, MADE.classnames, torch.tensor(float(scale)))
    return scalars(ncscope.analyze(same, bootstrap=0).summary, prefix)


def loader(size=10):
    return DataLoader(TensorDataset(IMAGE, LABEL), batch_size=size)


def test_scalars_are_what_is_defined_by_path():
    tree = {"nc1": None, "delta_mid": {"raw": 0.5, "centred": None}, "nc3": 1.0}
    assert scalars(tree, "a/") == {"a/delta_mid/raw": 0.5, "a/nc3": 1.0}


def test_lightnings_callback_logs_every_validation(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from ncscope.integrations.lightning import CollapseCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(16))

        def training_step(self, batch, _):
            return (self.scale * batch[0]).square().mean()

        def validation_step(self, batch, _, dataloader_idx=0):
            text = TEXT if dataloader_idx == 0 else TEXT.flip(0)
            return {"image": self.scale * batch[0], "label": batch[1], "text": text}

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1.0)

    class Keep(lightning.Callback):
        seen: list = []  # noqa: RUF012

        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                found = {k: float(v) for k, v in trainer.callback_metrics.items()}
                self.seen.append((pl_module.scale.detach().clone(), found))

    module, quiet = Module(), {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, logger=False, default_root_dir=tmp_path,
        enable_checkpointing=False, callbacks=[CollapseCallback(6), Keep()], **quiet,
    )  # fmt: skip
    trainer.fit(module, loader(36), [loader(), loader(72)])
    assert len(Keep.seen) == 2
    for scale, found in Keep.seen:
        wanted = reported(IMAGE * scale, prefix="collapse/")
        wanted |= reported(IMAGE * scale, TEXT.flip(0), prefix="collapse/1/")
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert Keep.seen[0][1] != Keep.seen[1][1]
    module.validation_step = lambda batch, batch_idx: batch[0].mean() + batch_idx
    with pytest.raises(DataError, match="returned Tensor; expected a mapping with `image`"):
        trainer.validate(module, loader(), verbose=False)


class ClipLike(nn.Module):
    """What CLIP models give, of features in place of pictures."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(16))

    def forward(self, pixel_values, labels):
        image = self.scale * pixel_values
        loss = nn.functional.cross_entropy(image @ TEXT.T / 100, labels)
        return Output(loss=loss, logits=image @ TEXT.T, image_embeds=image, text_embeds=TEXT)


class Output(dict):
    """As transformers' outputs are: by key and by attribute."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def to_tuple(self):
        return tuple(self.values())


def test_transformers_callback_adds_to_every_evaluation(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    from ncscope.integrations.transformers import CollapseCallback

    data = [{"pixel_values": x, "labels": y} for x, y in zip(IMAGE, LABEL, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path), eval_strategy="epoch", num_train_epochs=2, report_to=[],
        per_device_train_batch_size=36, per_device_eval_batch_size=10, learning_rate=0.1,
        use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    callback, model = CollapseCallback(6), ClipLike()
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, callbacks=[callback])
    trainer.train()
    logged = [e for e in trainer.state.log_history if "eval_collapse/nc1" in e]
    assert [entry["epoch"] for entry in logged] == [1, 2]
    assert logged[0]["eval_collapse/delta_mid/raw"] != logged[1]["eval_collapse/delta_mid/raw"]
    callback.log = trainer.log
    found = trainer.evaluate()
    wanted = reported(IMAGE * model.scale.detach(), prefix="eval_collapse/")
    assert {name: found.get(name) for name in wanted} == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    last = trainer.state.log_history[-1]
    assert {name: last.get(name) for name in wanted} == {name: found[name] for name in wanted}
    with pytest.raises(DataError, match="the callback has not seen the model; give it to Trainer"):
        CollapseCallback(6).on_evaluate(arguments, trainer.state, trainer.control, metrics={})
    with pytest.raises(DataError, match=r"was given \[\] and gave Output; expected `labels` and"):
        callback.take({}, Output())


class CoOpLike(nn.Module):
    """CoOp's parts, of features in place of pictures and prompts; `texts` encoder passes."""

    def __init__(self, texts=1):
        super().__init__()
        self.image_encoder, self.text_encoder = nn.Linear(16, 16), nn.Linear(16, 16)
        self.logit_scale, self.texts = nn.Parameter(torch.tensor(3.0)), texts

    def forward(self, pixels):
        image, text = self.image_encoder(pixels), TEXT
        for _ in range(self.texts):
            text = self.text_encoder(TEXT)
        image, text = (nn.functional.normalize(side) for side in (image, text))
        return self.logit_scale.exp() * image @ text.T


class Loop:
    """As Dassl's `SimpleTrainer` goes about it, where Dassl itself is not installed."""

    def train(self):
        for self.epoch in range(2):
            self.run_epoch()
            self.after_epoch()

    def after_epoch(self):
        self.epochs_ended += 1

    def set_model_mode(self, mode):
        self.model.train(mode == "train")

    def model_inference(self, shown):
        return self.model(shown)

    def parse_batch_test(self, batch):
        return batch["img"], batch["label"]


def new_trainer(model, folder):
    """A trainer of two epochs, of the real library where that is installed."""
    try:
        from dassl.config import get_cfg_default
        from dassl.engine import TrainerX as Base
    except ImportError:
        Base, cfg = Loop, SimpleNamespace(TEST=SimpleNamespace(FINAL_MODEL="last_step"))  # noqa: N806
    else:
        cfg = get_cfg_default()
        cfg.OUTPUT_DIR, cfg.OPTIM.MAX_EPOCH, cfg.USE_CUDA = str(folder), 2, False

    class Trainer(Base):  # pyright: ignore[reportGeneralTypeIssues]
        epochs_ended = 0

        def build_data_loader(self):
            self.lab2cname = dict(enumerate(MADE.classnames))
            self.num_classes, self.val_loader = 6, None
            batch = [{"img": IMAGE[r], "label": LABEL[r]} for r in torch.arange(72).split(10)]
            self.train_loader_x = self.test_loader = batch

        def build_model(self):
            self.model = model
            if Base is not Loop:
                self.register_model("model", model)

        def run_epoch(self):
            self.set_model_mode("train")
            optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
            for batch in self.train_loader_x:
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(batch["img"]), batch["label"]).backward()
                optimiser.step()

        def after_epoch(self):
            self.epochs_ended += 1
            if Base is Loop:
                self.written = getattr(self, "written", [])
            else:
                super().after_epoch()

        def write_scalar(self, tag, scalar_value, global_step=None):
            self.written = [*getattr(self, "written", []), (tag, scalar_value, global_step)]
            if Base is not Loop:
                super().write_scalar(tag, scalar_value, global_step)

    if Base is not Loop:
        return Trainer(cfg)
    trainer = Trainer()
    trainer.cfg = cfg
    trainer.build_data_loader()
    trainer.build_model()
    return trainer


def test_dassls_trainer_writes_the_summary_of_every_epoch(tmp_path):
    from ncscope.integrations import dassl

    model = CoOpLike()
    trainer = new_trainer(model, tmp_path)
    metric = dassl.watch(trainer)
    trainer.train()
    assert trainer.epochs_ended == 2
    written = [(tag, value, e) for tag, value, e in trainer.written if tag.startswith("collapse/")]
    by_epoch = [{tag: v for tag, v, e in written if e == epoch} for epoch in (0, 1)]
    assert by_epoch[0].keys() == by_epoch[1].keys()
    assert by_epoch[0] != by_epoch[1]
    with torch.no_grad():
        wanted = reported(
            model.image_encoder(IMAGE), model.text_encoder(TEXT),
            scale=float(model.logit_scale.exp()), prefix="collapse/",
        )  # fmt: skip
    assert by_epoch[1] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert metric.compute()["delta_lcd"]["raw"] == by_epoch[1]["collapse/delta_lcd/raw"]


@pytest.mark.parametrize("texts", [0, 3])
def test_dassls_hook_refuses_text_that_is_no_ones_or_of_every_image(texts, tmp_path):
    from ncscope.integrations import dassl

    trainer = new_trainer(CoOpLike(texts=texts), tmp_path)
    dassl.watch(trainer)
    with pytest.raises(DataError, match=rf"'text_encoder': {texts}}}; expected each once"):
        trainer.train()
    trainer.model = nn.Linear(2, 2)
    with pytest.raises(DataError, match="the trainer's model has 0 `image_encoder`; expected one"):
        dassl.watch(trainer)
