"""The keys and shapes by which the methods are told apart, one row a method.

The first row that fits wins, so rows that ask for more stand above rows that ask for less. `*` in
a key stands for any text. Sources: the constructors of the authors' code.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ncscope.checkpoint.reading import BARE

Shapes = Mapping[str, tuple[int, ...]]
_FIXED = ("token_prefix", "token_suffix", "tokenized_prompts")
TOWERS = ("image_encoder.*", "text_encoder.*", "logit_scale")
_PROJECTIONS = ("image_encoder.proj_rep", "image_encoder.A", "image_encoder.B")
_DEEP = (
    *(f"prompt_learner.{key}" for key in (*_FIXED, "ctx", "ctx_att*", "token_middle*", "proj.*")),
    "prompt_learner.compound_prompt*",
)
# What a tower of CLIP's has, and the deep prompts that learners put into it
IN_TOWER = re.compile(
    r"(image|text)_encoder\.("
    r"conv[123]\.weight|bn[123]\..*|layer[1-4]\..*|attnpool\..*|class_embedding|"
    r"positional_embedding|proj|text_projection|token_embedding\.weight|VPT|ln_(pre|post|final)\..*|"
    r"transformer\.resblocks\.\d+\.(VPT_shallow|attn_mask|ln_[12]\..*|"
    r"attn\.(in_proj_(weight|bias)|out_proj\..*)|mlp\.(c_fc|c_proj)\..*))"
)
_WHOLE = (*(f"prompt_learner.{key}" for key in _FIXED), *TOWERS)
_META = ("meta_net.linear1.*", "meta_net.linear2.*")


@dataclass(frozen=True)
class Row:
    """A method (and others with the same keys), the keys it must have, and those it may have."""

    methods: tuple[str, ...]
    keys: tuple[str, ...]
    others: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    fits: Callable[[Shapes], bool] | None = None


def _meta_rows(shapes: Shapes, blocks: int) -> bool:
    context, rows = shapes["ctx"], shapes["meta_net.linear2.weight"]
    return len(context) >= 2 and len(rows) == 2 and rows[0] == blocks * context[-1]


def _several_prompts(shapes: Shapes) -> bool:
    """PLOT's prefix has a row for each of its prompts and classes; CoOp's one for each class."""
    context, prefix = shapes["ctx"], shapes.get("token_prefix", ())
    if len(context) != 3 or len(prefix) != 3 or context[0] == 0:
        return False
    return prefix[0] != context[0] and prefix[0] % context[0] == 0


def _per_class(shapes: Shapes) -> bool:
    context, prefix = shapes["ctx"], shapes.get("token_prefix")
    return len(context) == 3 and (prefix is None or prefix[:1] == context[:1])


TABLE = (
    Row(("CLIP-LoRA",), ("weights.layer_0.*", "weights.*.w_lora_A"), ("weights.layer_*",)),
    Row(("PEFT-LoRA",), ("base_model.model.*.lora_*",), ("base_model.model.*",)),
    Row(("LIFT",), ("tuner.*", "head.weight"), ("head.*",)),
    Row(
        ("Tip-Adapter", "Tip-Adapter-F", "cached labels", "matrix", "bare context"),
        (BARE,),  # which of them, `checkpoint/bare.py` says
        fits=lambda s: len(s) == 1,
    ),
    Row(
        ("Candle",),
        ("visual_prototypes", "head.proj_image*"),
        ("text_features", "head.*", "logit_scale"),
    ),
    Row(("TaskRes",), ("text_feature_residuals", "base_text_features")),
    Row(("CLIP-Adapter",), ("fc.0.weight", "fc.2.weight"), fits=lambda s: len(s) == 2),
    Row(
        ("MMA",),
        ("shared_adapter.*", "text_adapter.*", "visual_adapter.*"),
        ("token_embedding", "tokenized_prompts"),
    ),
    Row(
        ("MMRL++",),
        ("representation_learner.srra_*",),
        ("representation_learner.*", "prompt_embeddings*", *_PROJECTIONS, *TOWERS),
    ),
    Row(
        ("MMRL",),
        ("representation_learner.compound_rep_tokens",),
        ("representation_learner.*", "prompt_embeddings*", *_PROJECTIONS, *TOWERS),
    ),
    Row(
        ("DPC-PromptKD",),
        ("VPT_image_trans.*", "image_encoder.*", "prompt_learner.ctx"),
        ("prompt_learner.*", "clip_model.*", *TOWERS),
    ),
    Row(
        ("PromptKD",),
        ("VPT_image_trans.*", "image_encoder.*"),
        TOWERS,
        ("prompt_learner.ctx",),
    ),
    Row(
        ("HiCroPL",),
        ("prompt_learner.cross_prompts_text.*", "prompt_learner.cross_prompts_visual.*"),
        ("prompt_learner.*", *TOWERS),
    ),
    Row(("PLOT++",), ("prompt_learner.ctx_vision", "prompt_learner.ctx"), _WHOLE),
    Row(
        ("CoPrompt",),
        ("prompt_learner.compound_prompts_text.*", "adapter_image.*"),
        (*_DEEP, "adapter_text.*", "model_distill.*", *TOWERS),
    ),
    Row(
        ("MaPLe_AnchorOPT",),
        ("prompt_learner.compound_prompts_text.*", "*.ctx_pos_params"),
        ("*prompt_learner.*", "*_encoder_vanilla.*", "*_encoder_maple.*", *TOWERS),
    ),
    Row(("TAP",), ("text_prompt_learner.*",), ("*_prompt_learner.*",)),
    Row(
        ("MaPLe_ATP",),
        ("prompt_learner.compound_prompts_text.*", "prompt_learner.ctx_att*"),
        (*_DEEP, *TOWERS),
    ),
    Row(
        ("MaPLe",),
        ("prompt_learner.ctx", "prompt_learner.proj.weight", "prompt_learner.compound_prompts_*"),
        ("prompt_learner.proj.bias", "prompt_learner.compound_prompt_*", *_WHOLE),
    ),
    Row(
        ("MaPLe",),  # of depth 1: no compound prompts
        ("prompt_learner.ctx", "prompt_learner.proj.weight", "image_encoder.*"),
        ("prompt_learner.proj.bias", *_WHOLE),
    ),
    Row(
        ("TAC",),
        ("prompt_learner.ctx", "topk", "VPT_topk_t.*", "VPT_topk_v.*", "image_encoder.VPT"),
        ("prompt_learner.topk", "prompt_learner.ZS_image_encoder.*", *_WHOLE),
    ),
    Row(
        ("SurPL",),
        ("prompt_learner.ctx", "SFG.*", "fg_signals", "feature_proj.*", "image_encoder.VPT"),
        ("prompt_learner.ZS_image_encoder.*", *_WHOLE),
    ),
    Row(
        ("PromptSRC", "ProMetaR", "DPC-PromptSRC"),
        ("prompt_learner.ctx", "prompt_learner.ZS_image_encoder.*"),
        ("prompt_learner.token_*2", *_WHOLE),
    ),
    Row(
        ("IVLP", "ProMetaR", "PromptSRC"),  # PromptSRC without the towers it is trained with
        ("prompt_learner.ctx", "image_encoder.VPT"),
        ("prompt_learner.token_*2", *_WHOLE),
    ),
    Row(("IVLP (language only)",), ("prompt_learner.ctx", "text_encoder.*.VPT_shallow"), _WHOLE),
    Row(("VPT",), ("image_encoder.VPT",), TOWERS, ("prompt_learner.*",)),
    Row(
        ("TextRefiner",),
        ("mid_image_trans.*",),
        ("prompt_learner.*", "VPT_image_trans.*", *TOWERS),
    ),
    Row(("TextRefiner (memory)",), ("extractor.weight",), ("extractor.bias", "memory_item")),
    Row(
        ("CoCoOp_AnchorOPT",),
        ("ctx", "ctx_pos_params", "meta_net.linear2.weight"),
        (*_FIXED, "anchor_ctx_*", "token_of", *_META),
    ),
    Row(
        ("AnchorOPT",),
        ("ctx", "ctx_pos_params"),
        (*_FIXED, "anchor_ctx_*", "token_of"),
        ("meta_net.*",),
    ),
    Row(("AnchorOPT (anchor)",), ("anchor_ctx_1",), (*_FIXED, "anchor_ctx_*", "token_of", *_META)),
    Row(
        ("CoCoOp_ATP",),
        ("ctx", "ctx_att1", "meta_net.linear2.weight"),
        (*_FIXED, "ctx_att*", "token_middle*", *_META),
    ),
    Row(("CoOp_ATP",), ("ctx", "ctx_att1"), (*_FIXED, "ctx_att*", "token_middle*")),
    Row(
        ("BIP",),
        ("ctx", "ctx_visual", "meta_net.linear1.*", "meta_net.linear2.*", "meta_vises.*"),
        (*_FIXED, "meta_vis.*", "VPT_fc.weight"),
        ("prompt_projections.*", "visual_prompts.*"),  # a later BIP, which is another method
    ),
    Row(
        ("TCP", "DeKg_TCP"),
        ("ctx", "meta_net.linear1.weight", "meta_net.linear2.weight"),
        (*_FIXED, "token_midfix", "bias_vectors", *_META),
        fits=lambda s: _meta_rows(s, 4),
    ),
    Row(
        ("CoCoOp",),
        ("ctx", "meta_net.linear1.weight", "meta_net.linear2.weight"),
        (*_FIXED, *_META),
        fits=lambda s: _meta_rows(s, 1),
    ),
    Row(
        ("KgCoOp", "DeKg"),
        ("ctx", "bias_vectors"),
        (*_FIXED, "token_midfix", "meta_net.linear1.*"),
        ("meta_net.linear2.*",),
    ),
    Row(
        ("TAP",),  # its vision_prompt_learner
        ("prompt_embeddings", "poolings.*"),
        ("deep_prompt_embeddings",),
    ),
    Row(
        # TAP's text_prompt_learner holds a context and no more, as older runs of CoOp do
        ("CoOp", "ProGrad", "Nemesis", "DPC", "KgCoOp", "TAP"),
        ("ctx",),
        absent=("token_*", "meta_net.*", "bias_vectors"),
        fits=lambda s: len(s) == 1 and len(s["ctx"]) == 2,
    ),
    Row(
        ("CoOp", "ProGrad", "Nemesis", "DPC", "KgCoOp"),  # KgCoOp as `ncscope tune` saves it
        ("ctx",),
        (*_FIXED, "token_midfix"),
        ("meta_net.*", "bias_vectors"),
        fits=lambda s: len(s["ctx"]) == 2,
    ),
    Row(("PLOT", "PLOTNemesis"), ("ctx",), _FIXED, fits=_several_prompts),
    Row(
        ("CoOp (class-specific)", "ProGrad (class-specific)", "Nemesis (class-specific)", "PLOT"),
        ("ctx",),
        absent=("token_*", "meta_net.*"),
        fits=_per_class,
    ),
    Row(
        (
            "CoOp (class-specific)",
            "ProGrad (class-specific)",
            "Nemesis (class-specific)",
            "KgCoOp (class-specific)",
        ),
        ("ctx",),
        (*_FIXED, "token_midfix"),
        fits=_per_class,
    ),
    Row(
        ("CoOp (whole model)", "IVLP (language only, depth 1)"),
        ("prompt_learner.ctx", "text_encoder.*"),
        _WHOLE,
    ),
    Row(
        ("LwEIB",),
        ("text_adapter.*.att_conv.conv.weight", "visual_adapter.*.att_conv.conv.weight"),
        ("text_adapter.*", "visual_adapter.*", "tk_prompts"),
    ),
    Row(("GalLoP",), ("global_prompt",), ("local_prompts", "local_proj.linear.weight")),
    Row(("GalLoP",), ("local_prompts",), ("local_proj.linear.weight",)),
    Row(
        ("SkipTuning", "FinetuneCLIP"),
        ("text_encoder.token_embedding.weight",),
        TOWERS,
        ("*VPT*", "prompt_learner.*"),
    ),
    Row(("FinetuneCLIP",), ("image_encoder.conv1.weight",), TOWERS, ("*VPT*", "prompt_learner.*")),
    Row(("feature file",), ("image", "label"), ("text", "text_frozen", "logit_scale")),
    Row(("feature file",), ("text", "logit_scale"), ("text_frozen",)),
    Row(("Nemesis features",), ("image_feature", "label", "text_feature"), ("prompt_norm",)),
    Row(
        ("CLIP backbone",),
        ("visual.*", "transformer.*", "token_embedding.weight"),
        ("positional_embedding", "text_projection", "ln_final.*", "logit_scale"),
    ),
)
