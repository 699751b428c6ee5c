"""The published folder: timm and `from_pretrained` give what the encoder gives."""

import copy
import json
import math
import pickle

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from timm.data.config import resolve_data_config
from torch.nn import functional as F

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.nn import Encoder
from graphrise.nn.hub.write import preprocessing

# Architecture, arguments, side of the pictures, name of timm's classifier.
MODELS = {
    "resnet": ("test_resnet", {}, 32, "fc"),
    "tuples in the arguments": (
        "resnet18",
        {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1), "stem_width": 8},
        32,
        "fc",
    ),
    "convnext": ("test_convnext", {}, 32, "head.fc"),
    "efficientnet": ("test_efficientnet", {}, 32, "classifier"),
    "vit": ("test_vit", {"img_size": 32}, 32, "head"),
    "vit of other sizes": ("test_vit", {"dynamic_img_size": True}, 64, "head"),
    "features wider than pooled": ("mobilenetv3_small_050", {}, 32, "classifier"),
    "convolution as classifier": (
        "resnetv2_18",
        {"channels": (32, 32, 64, 64), "layers": (1, 1, 1, 1), "stem_chs": 32},
        32,
        "head.fc",
    ),
    "a head of two layers": (
        "repvit_m0_9",
        {"embed_dim": (8, 8, 16, 16), "depth": (1, 1, 1, 1)},
        32,
        None,
    ),
}


def made(name, kwargs=None, size=32, **settings):
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(name=name, kwargs=kwargs or {}, dim=8, **settings))
    encoder.mean, encoder.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    encoder.shown = ImageConfig(size=size, crop_pct=0.875)
    with torch.no_grad():
        for buffer in encoder.buffers():  # statistics that differ from their start
            if buffer.dtype.is_floating_point:
                buffer.add_(0.1 * torch.rand_like(buffer))
    return encoder.eval()


def by_timm(folder):
    """The model that timm makes of a folder; it reads safetensors so in every version."""
    weights = folder / "model.safetensors"
    return timm.create_model(f"local-dir:{folder}", checkpoint_path=weights).eval()


@pytest.fixture
def encoder():
    return made("test_resnet")


@pytest.fixture
def folder(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("case", MODELS)
def test_the_same_embeddings(case, tmp_path):
    name, kwargs, size, classifier = MODELS[case]
    encoder = made(name, kwargs, size)
    encoder.save_pretrained(tmp_path)
    x = torch.randn(3, 3, size, size)
    with torch.inference_mode():
        wanted = encoder(x)
        loaded = Encoder.from_pretrained(tmp_path)
        torch.testing.assert_close(loaded(x), wanted, rtol=0, atol=0)
        z = by_timm(tmp_path)(x)
        if classifier is None:
            z = F.linear(z, **load_file(tmp_path / "projection.safetensors"))
        torch.testing.assert_close(F.normalize(z, dim=1), wanted, rtol=0, atol=1e-5)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["pretrained_cfg"]["classifier"] == classifier
    assert not loaded.training
    assert (loaded.mean, loaded.std) == (encoder.mean, encoder.std)
    assert loaded.shown is not None
    assert (loaded.shown.size, loaded.shown.canvas) == (size, round(size / 0.875))
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "README.md",
        "config.json",
        "model.safetensors",
        *(["projection.safetensors"] if classifier is None else []),
    ]


def test_who_may_read_it(folder):
    config, weights = (folder / name for name in ("config.json", "model.safetensors"))
    assert weights.stat().st_mode == config.stat().st_mode


def test_not_normalised(tmp_path):
    encoder = made("test_resnet", normalize=False)
    encoder.save_pretrained(tmp_path)
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        z = by_timm(tmp_path)(x)
        torch.testing.assert_close(z, encoder(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(Encoder.from_pretrained(tmp_path)(x), encoder(x))
    text = (tmp_path / "README.md").read_text()
    assert "not normalised" in text
    assert "functional.normalize" not in text


def test_published_again(folder, encoder, tmp_path):
    again = Encoder.from_pretrained(folder)
    again.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@given(size=st.integers(8, 600), crop_pct=st.floats(0.5, 1))
def test_timm_resizes_to_the_canvas(size, crop_pct):
    encoder = made_once()
    encoder.shown = ImageConfig(size=size, crop_pct=crop_pct)
    found = preprocessing(encoder)["crop_pct"]
    assert math.floor(size / found) == encoder.shown.canvas
    assert ImageConfig(size=size, crop_pct=found).canvas == encoder.shown.canvas


def made_once(cache={}):  # noqa: B006
    return cache.setdefault("encoder", made("test_resnet"))


def test_timm_knows_the_pictures(folder):
    found = resolve_data_config(model=by_timm(folder))
    assert tuple(found["input_size"]) == (3, 32, 32)
    assert tuple(found["mean"]) == (0.1, 0.2, 0.3)
    assert tuple(found["std"]) == (0.4, 0.5, 0.6)
    assert (found["interpolation"], found["crop_mode"]) == ("bicubic", "center")


def test_saving_leaves_the_encoder_as_it_is(encoder, tmp_path):
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.save_pretrained(tmp_path)
    assert encoder.training
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_copies_and_pickles(encoder):
    x = torch.randn(2, 3, 32, 32)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        torch.testing.assert_close(other(x), encoder(x), rtol=0, atol=0)
        assert (other.config, other.shown) == (encoder.config, encoder.shown)


def test_where_weights_came_from_is_left_behind(encoder, tmp_path):
    torch.save(encoder.backbone.state_dict(), tmp_path / "start.pth")
    start = {"checkpoint_path": str(tmp_path / "start.pth")}
    made("test_resnet", start).save_pretrained(tmp_path / "out")
    (tmp_path / "start.pth").unlink()
    assert Encoder.from_pretrained(tmp_path / "out").config.kwargs == {}


def test_a_readme_that_is_there_stays(encoder, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    encoder.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_pictures_must_be_known(encoder, tmp_path):
    encoder.shown = None
    with pytest.raises(ConfigError, match=r"encoder\.shown is not set"):
        encoder.save_pretrained(tmp_path)


def test_arguments_that_are_not_plain(tmp_path):
    encoder = made("test_resnet", {"norm_layer": torch.nn.BatchNorm2d})
    with pytest.raises(ConfigError, match=r"encoder.kwargs must be plain values"):
        encoder.save_pretrained(tmp_path)


def test_what_timm_loads_otherwise_is_not_published(encoder, tmp_path, monkeypatch):
    other = timm.create_model("test_resnet", num_classes=8)
    monkeypatch.setattr(timm, "create_model", lambda name, **_: other)
    with pytest.raises(GraphriseError, match="cannot be published for timm"):
        encoder.save_pretrained(tmp_path)


def test_nothing_is_unpickled(folder):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was loaded",)

    (folder / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="not a whole published encoder"):
        Encoder.from_pretrained(folder)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"architecture": "test_resnet", "num_classes": 8}']
)
def test_not_a_config_of_ours(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json: not of a graphrise encoder"):
        Encoder.from_pretrained(folder)


def test_damage_and_absence(folder):
    config, weights = folder / "config.json", folder / "model.safetensors"
    text, whole = config.read_text(), weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a whole published encoder"):
        Encoder.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(DataError, match="not a whole published encoder"):
        Encoder.from_pretrained(folder)
    state = load_file_of(whole, folder)
    save_file({k: v for k, v in state.items() if not k.startswith("conv1")}, weights)
    with pytest.raises(DataError, match="not a whole published encoder"):
        Encoder.from_pretrained(folder)
    found = json.loads(text)
    found["graphrise"]["format"] = 2
    config.write_text(json.dumps(found))
    with pytest.raises(DataError, match="format 2, this version of graphrise reads 1"):
        Encoder.from_pretrained(folder)
    config.unlink()
    with pytest.raises(DataError, match="not of a graphrise encoder"):
        Encoder.from_pretrained(folder)


def load_file_of(content, folder):
    copied = folder / "copied"
    copied.write_bytes(content)
    return load_file(copied)
