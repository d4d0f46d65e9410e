"""SurPL: prompts in both towers and three classifiers, of which the first is read.

The first head compares the prompted global image feature with prompted text features: IVLP's
forward pass. The second refines every class by each image (`SFG`, cross-attention on the image's
feature), the third compares patches (`feature_proj`) with classes refined by `fg_signals`. The
method averages the scores of all three; the other two do not change the first one's features, but
an accuracy of the method is not that of these features alone. Unlike PromptSRC's, which has the
same keys but for those heads, its file is no average over epochs.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.ivlp import load_ivlp
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.learners.parts import take
from ncscope.zoo.settings import Settings

MODE = "features of the first head; the method averages the scores of three"
_OTHER_HEADS = ("SFG.attn.in_proj_weight", "fg_signals", "feature_proj.linear.weight")


def load_surpl(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of the first head; the tensors of the others are looked for, and not used.

    Its warnings name the mode, so that no report compares it with the method's own accuracy unsaid.

    Raises:
        CheckpointError: other shapes than the backbone's, or no SurPL's.
        BackboneError: the backbone has no vision transformer.
    """
    for key in _OTHER_HEADS:
        take(tensors, key, ("r", "c"), settings)
    learner = load_ivlp(tensors, backbone, settings)
    said = learner.description
    described = {**said, "mode": MODE, "warnings": [*said["warnings"], f"SurPL: {MODE}"]}
    return replace(learner, description=described)
