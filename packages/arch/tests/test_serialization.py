"""Specifications through JSON text and back: equal, readable, and closed to everything that is not a part."""

import importlib.util
import json
import math
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import octad_arch
import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Decoder,
    Layer,
    RMSNorm,
    RoPE,
    SwiGLU,
    YaRN,
    llama_decoder,
    relu_squared,
)
from octad_arch.serialization import from_json, register_part, to_json


def through_text(value):
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


def the_pairs():
    """The covering array of `test_pairs.py`."""
    spec = importlib.util.spec_from_file_location("pairs_of_parts", Path(__file__).with_name("test_pairs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.decoder_of(row) for row in module.ROWS]


@register_part
class Colour(Enum):
    RED = "r"
    BLUE = "b"


@register_part
@dataclass(frozen=True)
class Painted:
    colours: tuple[Colour, ...]
    function: object
    size: float = 1.5


@register_part
def cubed(x):
    return x**3


def test_every_pair_of_parts_comes_back_equal():
    for spec in the_pairs():
        assert through_text(spec) == spec


def test_registered_parts_come_back_equal():
    value = Painted((Colour.RED, Colour.BLUE, Colour.RED), cubed, -math.inf)
    assert through_text(value) == value
    register_part(torch.tanh)
    spec = replace(llama_decoder(9, 8, 1, 2), layers=(Layer(Attention(2, 1, 4), MLP(8, torch.tanh)),))
    assert through_text(spec) == spec


@pytest.mark.parametrize(
    "value", [(1, 1.0, True, None, "a"), (), ((1, 1), (1, 1)), 0.1 + 0.2, -0.0, 2**70, (math.inf,)]
)
def test_numbers_keep_their_value_and_type(value):
    assert repr(through_text(value)) == repr(value)


def test_repeated_layers_are_written_once():
    local, whole = (Layer(Attention(2, 1, 4, window=window), SwiGLU(8)) for window in (3, None))
    layers = ((local,) * 5 + (whole,)) * 6 + (local,) * 2
    written = to_json(layers)
    assert [entry["repeat"] for entry in written] == [6, 2]
    assert [entry.get("repeat", 1) for entry in written[0]["of"]] == [1] * 6
    assert from_json(written) == layers
    spec = Decoder(9, 8, (local, whole, local))
    assert [entry["class"] for entry in to_json(spec)["layers"]] == ["Layer"] * 3


def test_equal_numbers_of_other_types_are_not_taken_for_a_repetition():
    layers = (MLP(8, bias=True), MLP(8, bias=1), MLP(8.0))
    assert repr(through_text(layers)) == repr(layers)


def test_json_is_the_readable_form_that_is_documented():
    assert to_json(RMSNorm()) == {"class": "RMSNorm", "eps": 1e-6, "gain": True}
    assert to_json(relu_squared) == {"function": "relu_squared"}
    assert to_json(RoPE(5.0, scaling=YaRN(2.0, 8)))["scaling"]["class"] == "YaRN"


def test_a_missing_field_takes_its_default():
    assert from_json({"class": "RMSNorm"}) == RMSNorm()
    with pytest.raises(ArchError, match="SwiGLU cannot be built from"):
        from_json({"class": "SwiGLU"})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"class": "RMSNormm"}, "'RMSNormm' is not part of octad_arch .* nearest is 'RMSNorm'"),
        ({"class": "RMSNorm", "epz": 1.0}, "RMSNorm has no field 'epz'; the nearest is 'eps'"),
        ({"class": "RMSNorm", "eps": -1.0}, "eps=-1.0 must be above 0"),
        ({"function": "silo"}, "nearest is 'silu'"),
        ({"function": "RMSNorm"}, "function 'RMSNorm' is not part"),
        ({"class": "silu"}, "class 'silu' is not part"),
        ({"class": "os.PathLike"}, r"No module named 'octad_arch\.os'"),
        ({"class": "..subprocess.Popen"}, "is not part of octad_arch"),
        ({"function": "hugging_face.os.system"}, "unknown"),
        ({"function": "serialization.require"}, "is not part of octad_arch"),
        ({"class": "serialization.Enum"}, "is not part of octad_arch"),
        ({"class": "decoder.DecoderModel"}, "is not part of octad_arch"),
        ({"enum": "Colour.GREEN"}, "'Colour.GREEN' is unknown; the nearest is"),
        ({"eps": 1.0}, 'names no "class"'),
        ([{"repeat": 0, "of": [1]}], "repeat=0"),
        ([{"repeat": 2}], "a list named 'of'"),
    ],
)
def test_what_is_not_a_part_is_refused(data, message):
    with pytest.raises(ArchError, match=message):
        from_json(data)


def test_what_has_no_name_is_refused():
    for value in (lambda x: x, [1], {"a": 1}, object(), torch.tensor(1.0), MLP(8, lambda x: x), Decoder):
        with pytest.raises(ArchError, match=r"no JSON form|no name"):
            to_json(value)


def test_register_part_refuses_taken_names_and_what_could_change():
    @dataclass(frozen=True)
    class RMSNorm:
        eps: float = 1.0

    with pytest.raises(ArchError, match="the name 'RMSNorm' belongs to"):
        register_part(RMSNorm)
    with pytest.raises(ArchError, match="no frozen dataclass"):
        register_part(torch.nn.Linear)
    assert register_part(cubed) is cubed


def test_parts_that_the_package_does_not_export_are_named_by_module():
    name = "checkpoint_map.Weight"
    assert name.rpartition(".")[2] not in octad_arch.__all__
    part = from_json({"class": name, "theirs": ["a"], "ours": ["b"]})
    assert (part.theirs, part.ours) == (("a",), ("b",))
    assert to_json(part)["class"] == name
    with pytest.raises(ArchError, match="is not part"):
        from_json({"class": "residual.ScaledBlock"})
