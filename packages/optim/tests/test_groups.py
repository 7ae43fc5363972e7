from functools import partial

import pytest
import torch
from octad_optim import (
    AdamW,
    Combined,
    Muon,
    OptimError,
    describe_groups,
    muon_and_adamw,
    parameter_groups,
    parameter_kinds,
)
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.query = nn.Linear(8, 8)
        self.output = nn.Linear(8, 8, bias=False)
        self.experts = nn.Parameter(torch.randn(3, 8, 4))
        self.position_embedding = nn.Parameter(torch.randn(5, 8))


class Model(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.convolution = nn.Conv1d(8, 8, 3)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.lm_head = nn.Linear(8, 11, bias=False)
        if tied:
            self.lm_head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.convolution(self.embed(tokens).mT).mT
        for block in self.blocks:
            x = x + block.output(block.query(block.norm(x))) + block.position_embedding[:1]
            x = x + x @ block.experts.sum(0) @ block.experts.sum(0).T
        return self.lm_head(x)


def by_name(groups):
    return {group["name"]: set(group["param_names"]) for group in groups}


def test_parameter_kinds_sort_a_model():
    kinds = {name: kind for name, (_, kind) in parameter_kinds(Model()).items()}
    block = {
        "norm.weight": "vector",
        "norm.bias": "vector",
        "query.weight": "matrix",
        "query.bias": "vector",
        "output.weight": "matrix",  # deep in a block "output" is no head
        "experts": "matrix",
        "position_embedding": "embedding",
    }
    expected = {f"blocks.{i}.{name}": kind for i in range(2) for name, kind in block.items()}
    expected |= {"embed.weight": "embedding", "lm_head.weight": "head"}
    expected |= {"convolution.weight": "matrix", "convolution.bias": "vector"}
    assert kinds == expected


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("muon", [False, True])
def test_parameter_groups_hold_every_trainable_parameter_once(tied, muon):
    model = Model(tied)
    model.blocks[1].query.weight.requires_grad_(False)
    groups = parameter_groups(model, muon=muon)
    held = [p for group in groups for p in group["params"]]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(held) == len(trainable)
    assert {id(p) for p in held} == {id(p) for p in trainable}
    named = dict(model.named_parameters())
    for group in groups:
        assert all(named[n] is p for n, p in zip(group["param_names"], group["params"], strict=True))


def test_parameter_groups_decay_matrices_only_by_default():
    groups = {group["name"]: group for group in parameter_groups(Model(), weight_decay=0.3)}
    assert groups["decay"]["weight_decay"] == 0.3
    assert groups["no_decay"]["weight_decay"] == 0.0
    names = by_name(groups.values())
    assert "lm_head.weight" in names["decay"]
    assert {"embed.weight", "blocks.0.norm.weight", "blocks.0.query.bias"} <= names["no_decay"]
    every = parameter_groups(Model(), decay=("matrix", "head", "embedding", "vector"))
    assert [group["name"] for group in every] == ["decay"]
    none = parameter_groups(Model(), decay=())
    assert [(group["name"], group["weight_decay"]) for group in none] == [("no_decay", 0.0)]


def test_parameter_groups_treat_a_tied_head_as_an_embedding():
    names = by_name(parameter_groups(Model(tied=True)))
    assert "embed.weight" in names["no_decay"]
    assert "lm_head.weight" not in names["decay"] | names["no_decay"]

    class HeadFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 9, bias=False)
            self.embed = nn.Embedding(9, 4)
            self.head.weight = self.embed.weight

    kinds = parameter_kinds(HeadFirst())
    assert {name: kind for name, (_, kind) in kinds.items()} == {"head.weight": "embedding"}


def test_parameter_groups_give_muon_hidden_matrices_only():
    names = by_name(parameter_groups(Model(), muon=True))
    inside = {f"blocks.{i}.{n}" for i in range(2) for n in ("query.weight", "output.weight", "experts")}
    assert names["muon"] == inside
    assert names["decay"] == {"convolution.weight", "lm_head.weight"}


def test_parameter_groups_take_other_names():
    model = nn.ModuleDict({"readout": nn.Linear(4, 9), "lookup": nn.ParameterList([torch.ones(9, 4)])})
    kinds = parameter_kinds(model, heads="^readout$", embeddings=r"^lookup\.")
    assert {name: kind for name, (_, kind) in kinds.items()} == {
        "readout.weight": "head",
        "readout.bias": "vector",
        "lookup.0": "embedding",
    }


def test_parameter_kinds_believe_the_models_own_word_on_its_head():
    class Stated(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(4, 4, bias=False)
            self.readout = nn.Linear(4, 9, bias=False)

        def get_output_embeddings(self):
            return self.readout

    kinds = {name: kind for name, (_, kind) in parameter_kinds(Stated()).items()}
    assert kinds == {"hidden.weight": "matrix", "readout.weight": "head"}


def test_parameter_groups_name_a_bad_setting():
    with pytest.raises(OptimError, match="unknown kinds"):
        parameter_groups(Model(), decay=("matrices",))
    with pytest.raises(OptimError, match="weight_decay=-1"):
        parameter_groups(Model(), weight_decay=-1)
    with pytest.raises(OptimError, match="without trainable parameters"):
        parameter_groups(Model().requires_grad_(False))


def test_combined_equals_its_members_apart():
    torch.manual_seed(0)
    model = Model(tied=True)
    twin = Model(tied=True)
    twin.load_state_dict(model.state_dict())
    one = muon_and_adamw(model, lr=0.01)
    groups = parameter_groups(twin, muon=True)
    apart = [
        Muon([g for g in groups if g["optimizer"] == "muon"], lr=0.01),
        AdamW([g for g in groups if g["optimizer"] == "adamw"], lr=0.01, betas=(0.9, 0.95)),
    ]
    tokens = torch.arange(5)[None]
    for _ in range(3):
        for network, optimizers in ((model, [one]), (twin, apart)):
            network(tokens).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_combined_shares_groups_and_state_with_its_members_even_after_loading():
    optimizer = muon_and_adamw(Model(), lr=0.01)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.125
    for member in optimizer.optimizers:
        assert member.state is optimizer.state
        assert {group["lr"] for group in member.param_groups} == {0.125}
    assert sum(len(g["params"]) for g in optimizer.state_dict()["param_groups"]) == 18


def test_combined_refuses_what_it_cannot_do():
    parameter = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(OptimError, match="1 parameters in two"):
        Combined([AdamW([parameter]), Muon([parameter])])
    with pytest.raises(OptimError, match="at least one"):
        Combined([])
    with pytest.raises(OptimError, match="a member"):
        Combined([AdamW([parameter])]).add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    with pytest.raises(OptimError, match=r"optimizer='muon'.*\['adamw'\]"):
        Combined.from_groups(parameter_groups(Model(), muon=True), {"adamw": partial(AdamW, lr=0.1)})


def test_describe_groups_shows_a_line_a_group():
    optimizer = muon_and_adamw(Model(), lr=0.01)
    lines = describe_groups(optimizer).splitlines()
    assert lines[0].split() == ["group", "optimizer", "tensors", "parameters", "lr", "weight_decay"]
    # 2 blocks of two 8 x 8 matrices and three 8 x 4 experts
    assert ["muon", "muon", "6", "448", "0.01", "0.1"] in [line.split() for line in lines]
    assert len(lines) == 4
    plain = describe_groups(AdamW([nn.Parameter(torch.ones(1500))]))
    assert plain.splitlines()[1].split() == ["0", "adamw", "1", "1,500", "0.001", "0.01"]
    assert "-" in describe_groups(parameter_groups(Model())).splitlines()[1]
    with pytest.raises(OptimError, match="params"):
        describe_groups([{}])
