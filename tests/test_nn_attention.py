"""Norms, embeddings, attention, GPT: PyTorch's numbers, causality, training, sampling."""

from itertools import islice

import pytest
import torch_reference as torch
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value, nn, optim


# ── norms ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm])
def test_norms_are_pytorchs(kind):
    frozen = torch.NORMS
    norm = kind(4)
    for name in ("gain", "bias"):
        for leaf, number in zip(getattr(norm, name, []), frozen[name], strict=False):
            leaf.data = number
    x = [Value(number) for number in frozen["x"]]
    y = norm(x)
    expected, gradient = frozen[kind.__name__]
    table = y[1].backward(inputs=x)
    assert [a.data for a in y] == pytest.approx(expected, rel=1e-13)
    assert [table[a] for a in x] == pytest.approx(gradient, rel=1e-12)


@given(
    st.lists(st.floats(-100.0, 100.0), min_size=2, max_size=8).filter(lambda x: max(x) - min(x) > 1)
)
def test_norms_bring_numbers_to_one_size(x):
    n = len(x)
    layer = [y.data for y in nn.LayerNorm(n)(x)]
    assert sum(layer) / n == pytest.approx(0.0, abs=1e-9)
    assert sum(y * y for y in layer) / n == pytest.approx(
        1.0, rel=1e-3
    )  # ε beside a variance ≥ 1/8
    rms = [y.data for y in nn.RMSNorm(n)(x)]
    assert sum(y * y for y in rms) / n == pytest.approx(1.0, rel=1e-3)


def test_norms_of_equal_numbers_are_finite():
    x = [Value(3.0), Value(3.0)]
    y = nn.LayerNorm(2)(x)
    assert [a.data for a in y] == [0.0, 0.0]
    assert y[0].backward()[x[0]] == pytest.approx(0.5 / 1e-5**0.5)


# ── embedding ─────────────────────────────────────────────────────────────────────────────────
def test_an_embedding_gives_its_rows_and_only_these_get_gradients():
    embedding = nn.Embedding(4, 2, seed=0)
    row = embedding(2)
    assert row == embedding.rows[2]
    assert [a is b for a, b in zip(row, embedding.rows[2], strict=True)] == [True, True]
    (row[0] * 3.0).backward()
    assert [leaf.grad for leaf in embedding.parameters()] == [0.0] * 4 + [3.0] + [0.0] * 3
    assert [a is b for a, b in zip(embedding(Value(2.0)), embedding.rows[2], strict=True)] == [
        True
    ] * 2
    row.append(1.0)
    assert len(embedding.rows[2]) == 2


# ── attention ─────────────────────────────────────────────────────────────────────────────────
def test_attention_is_pytorchs():
    frozen = torch.ATTENTION
    attention = nn.CausalSelfAttention(4, heads=2)
    maps = (attention.query, attention.key, attention.value, attention.output)
    for affine, weights in zip(maps, frozen["weights"], strict=True):
        for row, numbers in zip(affine.W, weights, strict=True):
            for leaf, number in zip(row, numbers, strict=True):
                leaf.data = number
    x = [[Value(number) for number in row] for row in frozen["x"]]
    y = attention(x)
    table = sum(a for row in y for a in row).backward()
    for row, expected in zip(y, frozen["y"], strict=True):
        assert [a.data for a in row] == pytest.approx(expected, rel=1e-12, abs=1e-14)
    for row, expected in zip(x, frozen["gradient"], strict=True):
        assert [table[a] for a in row] == pytest.approx(expected, rel=1e-12, abs=1e-14)


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_attention_never_looks_ahead(seed, position):
    attention = nn.CausalSelfAttention(2, seed=seed)
    x = [[Value(0.1 * t), Value(-0.2 * t)] for t in range(4)]
    table = attention(x)[position - 1][0].backward(inputs=[a for row in x for a in row])
    assert all(table[a] == 0.0 for row in x[position:] for a in row)


# ── a language model ──────────────────────────────────────────────────────────────────────────
def test_a_gpt_has_as_many_logits_as_tokens_and_never_looks_ahead():
    model = nn.GPT(vocabulary=5, context=4, dim=4, heads=2, layers=2, seed=0)
    short, long = model([1, 2]), model([1, 2, 3, 4])
    assert [len(row) for row in long] == [5, 5, 5, 5]
    assert [a.data for a in short[1]] == [a.data for a in long[1]]
    assert repr(model) == "GPT(5, 4, dim=4, heads=2, layers=2)"


def test_every_parameter_of_a_gpt_that_a_text_uses_gets_a_gradient():
    model = nn.GPT(vocabulary=3, context=3, dim=4, heads=2, init="normal", seed=1)
    loss = nn.cross_entropy(model([0, 1, 2]), [1, 2, 0])
    table = loss.backward()
    assert all(leaf in table for leaf in model.parameters())
    silent = [name for name, leaf in model.named_parameters() if table[leaf] == 0.0]
    assert all(".inner." in name or ".outer." in name for name in silent)  # behind a closed relu


def test_a_small_gpt_learns_a_text_by_heart():
    text = [0, 1, 2, 3, 1, 4, 0]
    model = nn.GPT(vocabulary=5, context=6, dim=8, heads=2, seed=0)
    adam = optim.Adam(model.parameters(), lr=0.03)
    history = nn.fit(
        model, [text[:-1]], [text[1:]], loss=nn.cross_entropy, optimizer=adam, steps=60
    )
    assert history.loss[0] > 1.3  # log 5 = 1.6 is knowing nothing
    assert history.loss[-1] < 0.05
    assert list(islice(model.generate([0], temperature=0.2, seed=0), 5)) == text[1:-1]


def test_sampling_is_seeded_and_goes_past_the_context():
    model = nn.GPT(vocabulary=3, context=2, dim=4, heads=1, seed=0)
    drawn = [list(islice(model.generate([0], seed=5), 20)) for _ in range(2)]
    assert drawn[0] == drawn[1] != list(islice(model.generate([0], seed=6), 20))
    assert set(drawn[0]) <= {0, 1, 2}


MODEL = nn.GPT(vocabulary=3, context=2, dim=4, heads=1)
REFUSED = {
    "index": (lambda: nn.Embedding(3, 2)(3), IndexError, "Embedding: index 3; give 0 to 2"),
    "negative": (lambda: nn.Embedding(3, 2)(-1), IndexError, "Embedding: index -1; give 0 to 2"),
    "float": (
        lambda: nn.Embedding(3, 2)(1.0),
        TypeError,
        "index is a whole number from 0 to 2, not f",
    ),
    "bool": (lambda: nn.Embedding(3, 2)(True), TypeError, "whole number from 0 to 2, not bool"),
    "heads": (lambda: nn.CausalSelfAttention(4, 3), ValueError, "dim 4 is no multiple of heads 3"),
    "width": (lambda: nn.CausalSelfAttention(4)([[1.0]]), ValueError, "x is a list of 4 numbers"),
    "one vector": (
        lambda: nn.CausalSelfAttention(1)([1.0]),
        TypeError,
        r"x is a list of vectors, .*, not a list of numbers: write \[x\] for one",
    ),
    "no vectors": (
        lambda: nn.CausalSelfAttention(1)([]),
        TypeError,
        r"list of vectors, .*, not \[\]",
    ),
    "long": (lambda: MODEL([0, 1, 2]), ValueError, "GPT: tokens is a list of 1 to 2, and got 3"),
    "empty": (lambda: MODEL([]), ValueError, "GPT: tokens is a list of 1 to 2, and got 0"),
    "token": (lambda: MODEL([7]), IndexError, "Embedding: index 7; give 0 to 2"),
    "cold": (lambda: MODEL.generate([0], temperature=0), ValueError, "temperature is a positive"),
    "norm": (lambda: nn.RMSNorm(2)([1.0]), ValueError, r"RMSNorm\(2\): x is a list of 2 numbers"),
    "eps": (lambda: nn.LayerNorm(2, eps=0), ValueError, "LayerNorm: eps is a positive number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    call, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        call()
