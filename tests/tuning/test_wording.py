"""What each method's authors write, against their templates one by one."""

import pytest
import torch

from ncscope.clip.prompts import TCP_PROMPTS, TEMPLATES
from ncscope.errors import DataError
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.recipe import recipe_of
from ncscope.tuning.trainee import new_trainee
from ncscope.tuning.values import Recipe
from ncscope.tuning.wording import (
    PROGRAD,
    frozen_text,
    left_over,
    promptsrc_templates,
    wording_of,
)

NAMES = ("grey_seal", "oak tree")


def each(backbone, texts):
    return torch.stack([backbone.encode_text([text])[0] for text in texts])


def test_promptsrcs_text_is_the_raw_mean_over_sixty_prompts_on_every_data_set(backbone):
    listed = promptsrc_templates()
    assert len(set(listed)) == 60
    assert "a photo of a {}." in listed
    assert not {"a tattoo of the {}.", "a jpeg corrupted photo of the {}."} & set(listed)
    wording = wording_of("promptsrc", data_name="EuroSAT", template=TEMPLATES["EuroSAT"])
    assert wording.frozen == listed
    texts = [[t.replace("{}", name.replace("_", " ")) for t in listed] for name in NAMES]
    wanted = torch.stack([each(backbone, of_one).mean(dim=0) for of_one in texts])
    got = frozen_text(backbone, NAMES, wording)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    directions = [torch.nn.functional.normalize(each(backbone, t), dim=-1) for t in texts]
    other = torch.stack([rows.mean(dim=0) for rows in directions])
    cosine = torch.nn.functional.cosine_similarity(got, other)
    assert float(cosine.min()) < 1 - 1e-6  # normalising first is another feature


def test_taskress_base_is_raw_and_keeps_underscores(backbone):
    recipe = recipe_of("taskres")
    wording = wording_of("taskres", data_name="Food101", template=TEMPLATES["Food101"])
    trainee = new_trainee("taskres", backbone, NAMES, recipe=recipe, wording=wording)
    wanted = each(backbone, [f"a photo of {name}, a type of food." for name in NAMES])
    torch.testing.assert_close(trainee.fixed["base_text_features"], wanted)
    spaced = each(backbone, ["a photo of grey seal, a type of food."])[0]
    assert not torch.allclose(spaced, wanted[0])
    assert not torch.allclose(wanted.norm(dim=-1), torch.ones(2))
    assert len(wording_of("taskres", data_name="ImageNet").frozen) == 8


def test_tcp_writes_its_two_lists_and_begins_at_random(deep_backbone):
    recipe = recipe_of("tcp")
    wording = wording_of("tcp", data_name="EuroSAT", template=TEMPLATES["EuroSAT"])
    settings = new_trainee("tcp", deep_backbone, NAMES, recipe=recipe, wording=wording).settings
    assert settings.templates == ("a centered satellite photo of {}.",)
    assert (settings.words, settings.after) == ("", ".")  # not "of", the template's fifth word
    aircraft = wording_of("tcp", data_name="FGVCAircraft")
    assert aircraft.frozen == ("a photo of an aircraft {}.",)
    assert aircraft.after == ", a type of aircraft."
    ucf = wording_of("tcp", data_name="UCF101")
    assert (ucf.words, ucf.after) == ("person doing", ".")
    assert wording_of("tcp", data_name="StanfordCars").after == ", a type of car"
    for name, template in TCP_PROMPTS.items():
        found = wording_of("tcp", data_name=name)
        written = " ".join(["X X X X", *(found.words or "").split(), "{}"]) + found.after
        assert written == template
    one, two = (
        initial_tensors("tcp", deep_backbone, num_classes=2, recipe=recipe, seed=seed)["ctx"]
        for seed in (1, 2)
    )
    assert not torch.equal(one, two)


def test_kgcoop_differs_from_coops_table_in_textures_alone():
    for name, template in TEMPLATES.items():
        wanted = template
        if name == "DescribableTextures":
            wanted = "a photo of a {}, a type of texture."
        assert wording_of("kgcoop", data_name=name, template=template).frozen == (wanted,)


# a template of ProGrad's; the words by which its context is counted, and what stays before the name
STAYS = {
    "OxfordPets": (8, "a"), "OxfordFlowers": (8, "a"), "FGVCAircraft": (8, "a"),
    "DescribableTextures": (3, ""), "EuroSAT": (5, ""), "Food101": (7, "of"), "UCF101": (6, ""),
    "ImageNet": (4, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_prograds_context_is_zeros_then_as_many_tokens_as_its_template_has_words(backbone, name):
    count, stays = STAYS[name]
    wording = wording_of("prograd", data_name=name, template=TEMPLATES[name])
    words = (wording.init or "").split()
    assert len(words) == count
    assert PROGRAD[name] == f"{wording.init} {{}}."
    recipe = Recipe(0.002, 32, 1, ctx=16, ctx_init=wording.init, ctx_pad=True)
    trainee = new_trainee("prograd", backbone, NAMES, recipe=recipe, wording=wording)
    assert trainee.settings.words == stays
    context = trainee.trained["ctx"].detach()
    assert torch.equal(context[: 16 - count], torch.zeros(16 - count, context.shape[1]))
    ids = backbone.tokenizer([wording.init])[0][1 : 1 + count]
    table = backbone.model.token_embedding.weight
    assert torch.equal(context[16 - count :], table[ids])


def test_a_context_of_more_words_than_tokens_is_refused_with_the_number(backbone):
    recipe = Recipe(0.002, 32, 1, ctx=3, ctx_init="a type of pet, a photo of a", ctx_pad=True)
    with pytest.raises(DataError, match=r"`ctx` is 3, .* are 8 words and 9 tokens; give 8 or more"):
        initial_tensors("prograd", backbone, num_classes=2, recipe=recipe, seed=1)


def test_what_is_left_of_words_is_told_by_tokens_not_by_spaces(backbone):
    words = "a type of pet, a photo of a".split()
    assert left_over(backbone, words, 8) == "a"
    assert left_over(backbone, words, 5) == "a photo of a"
    assert left_over(backbone, words, 9) == ""
    assert left_over(backbone, "a photo of a".split(), 2) == "of a"


@pytest.mark.parametrize("method", ["kgcoop", "prograd", "tcp", "promptsrc", "taskres", "coop"])
def test_the_callers_template_takes_the_place_of_the_authors(method):
    wording = wording_of(method, data_name="DescribableTextures", template="my {}.", given=True)
    assert wording.frozen == ("my {}.",)
