import json
import re

import open_clip
import pytest
import torch

from ncscope.checkpoint.class_names import (
    ClassNames,
    check_class_names,
    recover_class_names,
    same_name,
    subset_of,
)
from ncscope.checkpoint.token_table import match_tokens
from ncscope.errors import CheckpointError, DataError
from tests.data.coop_trees import SPLITS
from tests.learner_states import (
    Sizes,
    clip_adapter,
    cocoop,
    coop,
    maple,
    mma,
    mmrl,
    plot,
    promptkd,
    taskres,
    vpt,
)

WIDTH = 16
NAMES = ("yorkshire terrier", "grid", "bird of paradise", "forget-me-not", "747-400", "cat's tail")


@pytest.fixture(scope="module")
def tokenizer():
    return open_clip.SimpleTokenizer()


@pytest.fixture(scope="module")
def table():
    return 0.01 * torch.randn(49408, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def embed(tokenizer, table):
    """(C, 77, W) embedded prompts of a template, in half precision, as files keep them."""
    return lambda names, template, dtype=torch.float16: table[
        tokenizer([template.format(name) for name in names])
    ].to(dtype)


def sizes(classes=6, **options):
    return Sizes(classes=classes, text=WIDTH, layers=1, depth=1, **options)


@pytest.mark.parametrize(
    ("template", "context", "before", "after"),
    [
        ("X X X X {}.", 4, "", ""),
        ("a photo of a {}.", 4, "", ""),
        ("a photo of a {}.", 2, "of a", ""),
        ("a photo of a {}.", 1, "photo of a", ""),
        ("a photo of a person doing {}.", 4, "person doing", ""),
        ("a photo of a {}, a type of pet.", 4, "", ", a type of pet"),
        ("a centered satellite photo of {}.", 4, "of", ""),
        ("X X X X {} texture.", 4, "", "texture"),
    ],
)
def test_names_and_the_fixed_words_around_them_come_back(
    embed, tokenizer, table, template, context, before, after
):
    state = coop(sizes(context=context), prompts=embed(NAMES, template))
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert (found.names, found.before, found.after) == (NAMES, before, after)
    assert found.distance == 0
    ids = tokenizer([template.format(name) for name in NAMES])[:, 1 + context :]
    assert list(found.ends) == ids.argmax(dim=1).tolist()


@pytest.mark.parametrize("path", sorted(SPLITS.glob("split_zhou_*.json")), ids=str)
def test_names_of_real_data_sets_have_the_tokens_of_the_originals(embed, tokenizer, table, path):
    splits = json.loads(path.read_text())
    by_label = {label: name for rows in splits.values() for _, label, name in rows}
    names = [by_label[label].replace("_", " ") for label in range(len(by_label))]
    for part, chosen in {"all": names, "base": names[: (len(names) + 1) // 2]}.items():
        state = coop(sizes(len(chosen)), prompts=embed(chosen, "X X X X {}."))
        found = recover_class_names(state, tokenizer.decode, token_embedding=table)
        assert found is not None
        assert torch.equal(tokenizer(list(found.names)), tokenizer(chosen))
        assert check_class_names(found, names) == part
        same = sum(a == b.lower() for a, b in zip(found.names, chosen, strict=True))
        assert same >= 0.9 * len(chosen)


def test_the_splits_of_real_data_sets_are_at_hand():
    if not SPLITS.is_dir():
        pytest.skip("no shared/data/coop_splits beside the repository")


def test_a_start_common_to_all_names_is_split_at_whole_words_only(embed, tokenizer, table):
    names = ("qwzabcd", "qwzefgh")
    assert tokenizer(list(names))[:, 1].unique().numel() == 1  # one subword is common
    state = coop(sizes(2), prompts=embed(names, "X X X X {}."))
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert (found.names, found.before) == (names, "")


def test_of_a_single_class_nothing_is_split_off(embed, tokenizer, table):
    state = coop(sizes(1, context=2), prompts=embed(["dog"], "a photo of a {}."))
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert (found.names, found.before) == (("of a dog",), "")


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("held", [torch.float16, torch.float32])
def test_precision_of_file_and_backbone_may_differ(tokenizer, table, stored, held):
    prompts = table.half()[tokenizer([f"X X X X {name}." for name in NAMES])].to(stored)
    state = coop(sizes(), prompts=prompts)
    found = recover_class_names(state, tokenizer.decode, token_embedding=table.to(held))
    assert found is not None
    assert found.names == NAMES
    assert found.distance < 0.005  # bfloat16 of half is not bfloat16 of float32


def test_averaged_vectors_are_matched_by_nearness_and_the_distance_is_told(embed, tokenizer, table):
    drift = 1 + 4e-4 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    prompts = (embed(NAMES, "a photo of a {}.").float() * drift).half()
    state = maple(sizes(), prompts=prompts)
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert found.names == NAMES
    assert 1e-4 < found.distance < 1e-2


def test_another_backbone_is_refused(embed, tokenizer, table):
    state = coop(sizes(), prompts=embed(NAMES, "X X X X {}."))
    other = 0.01 * torch.randn(49408, WIDTH, generator=torch.Generator().manual_seed(9))
    with pytest.raises(CheckpointError, match="trained on another backbone"):
        recover_class_names(state, tokenizer.decode, token_embedding=other)
    with pytest.raises(CheckpointError, match="16 wide, the backbone's are 8 wide"):
        recover_class_names(state, tokenizer.decode, token_embedding=table[:, :8])


def test_matching_agrees_with_a_loop_over_the_table(table):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 2000, (300,), generator=generator)
    vectors = table[ids].half()
    rows = table[:2000].half().tolist()
    expected = [rows.index(vector) for vector in vectors.tolist()]
    assert match_tokens(vectors, table[:2000]).ids.tolist() == expected


def test_not_a_number_is_no_token(embed, tokenizer, table):
    prompts = embed(NAMES, "X X X X {}.")
    prompts[2, 6] = torch.nan
    with pytest.raises(CheckpointError, match="in no row"):
        recover_class_names(coop(sizes(), prompts=prompts), tokenizer.decode, token_embedding=table)


def test_the_prompts_of_plot_give_each_class_once(embed, tokenizer, table):
    state = plot(sizes(), sets=3)
    prompts = embed(NAMES, "X X X X {}.").repeat(3, 1, 1)
    state |= {"token_prefix": prompts[:, :1], "token_suffix": prompts[:, 5:]}
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert found.names == NAMES


def test_a_table_in_the_file_goes_before_the_backbones(embed, tokenizer, table):
    state = maple(sizes(), prompts=embed(NAMES, "X X X X {}."))
    state["model_distill.token_embedding.weight"] = table.half()
    found = recover_class_names(state, tokenizer.decode)
    assert found is not None
    assert found.names == NAMES


def test_token_ids_in_the_file_need_no_table(tokenizer):
    state = mma(sizes())
    state["tokenized_prompts"] = tokenizer([f"a photo of a {name}." for name in NAMES])
    found = recover_class_names(state, tokenizer.decode)
    assert found is not None
    assert (found.names, found.before) == (NAMES, "a photo of a")


def test_whole_embedded_prompts_are_read_too(embed, tokenizer, table):
    state = mmrl(sizes())
    state["prompt_embeddings"] = embed(NAMES, "a photo of a {}.")
    found = recover_class_names(state, tokenizer.decode, token_embedding=table)
    assert found is not None
    assert (found.names, found.before) == (NAMES, "a photo of a")


@pytest.mark.parametrize("state", [taskres, vpt, promptkd, clip_adapter])
def test_files_without_names_give_none(tokenizer, table, state):
    assert recover_class_names(state(sizes()), tokenizer.decode, token_embedding=table) is None


def test_without_a_table_vectors_give_none(embed, tokenizer):
    state = coop(sizes(), prompts=embed(NAMES, "X X X X {}."))
    assert recover_class_names(state, tokenizer.decode) is None


def test_damaged_prompts_are_refused(embed, tokenizer, table):
    prompts = embed(NAMES, "X X X X {}.")
    empty = prompts.clone()
    empty[3, 5:] = table[0].half()
    mixed = prompts.clone()
    mixed[3, 20] = table[7].half()
    for damaged, message in ((empty, "class without tokens"), (mixed, "one end-of-text")):
        with pytest.raises(CheckpointError, match=message):
            recover_class_names(
                cocoop(sizes()) | coop(sizes(), prompts=damaged),
                tokenizer.decode,
                token_embedding=table,
            )


def names(*found, before="", after=""):
    return ClassNames(found, before, after, (1,) * len(found), 0.0)


def test_the_part_of_the_classes_is_told_whatever_the_spelling():
    listed = ["Annual_Crop Land", "Forest", "v8 car", "River", "Sea or Lake"]
    assert check_class_names(names("annual crop land", "forest", "v 8 car"), listed) == "base"
    assert check_class_names(names("river", "sea or lake"), listed) == "new"
    assert check_class_names(names(*(n.lower() for n in listed)), listed) == "all"
    assert same_name("Caf\u00e9 au_lait", "cafe\u0301 au lait")


def test_words_common_to_all_names_may_be_part_of_them():
    assert check_class_names(names("car", "bus", before="red"), ["red car", "red bus"]) == "all"
    assert check_class_names(names("pine", "oak", after="tree"), ["Pine Tree", "Oak Tree"]) == "all"


def test_a_wrong_list_is_refused_with_its_first_differences():
    found = names("face", "leopard", "airplane")
    with pytest.raises(DataError, match="the same names in another order: 2 of 3 differ") as order:
        check_class_names(found, ["leopard", "face", "airplane"])
    assert "class 0: 'face' in the checkpoint, 'leopard' in the list" in str(order.value)
    with pytest.raises(DataError, match=r"other class names: 1 of 3 differ \(class 2: 'airplane'"):
        check_class_names(found, ["face", "leopard", "boat", "cup", "dog"])
    message = "trained on 3 classes; the list has 10 (5 base, 5 new)"
    with pytest.raises(DataError, match=re.escape(message)):
        check_class_names(found, [f"c{i}" for i in range(10)])


def test_the_number_of_classes_tells_base_from_all():
    assert subset_of(24, "DescribableTextures") == "base"
    assert subset_of(23, "DescribableTextures") == "new"
    assert subset_of(47, "DescribableTextures") == "all"
    assert subset_of(50, "Caltech101") is None  # both halves have 50
    assert subset_of(50, "MyData") is None
    assert subset_of(50, None) is None
