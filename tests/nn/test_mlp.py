"""The MLP over features as an encoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import ConfigError, DataError
from graphrise.nn import MLP, Encoder
from graphrise.nn.encoder import load_encoder, save_encoder
from graphrise.nn.inputs import fitted

CONFIG = EncoderConfig(name="mlp", dim=8, kwargs={"features": 5, "hidden": 16, "layers": 2})


@settings(deadline=None, max_examples=30)
@given(
    scale=st.lists(st.floats(0.1, 100), min_size=5, max_size=5),
    shift=st.lists(st.floats(-100, 100), min_size=5, max_size=5),
)
def test_units_of_the_features_do_not_matter(scale, shift):
    torch.manual_seed(0)
    mlp = MLP(5, hidden=8, layers=1, dropout=0.0).double()
    x = torch.randn(64, 5, dtype=torch.double)
    moved = x * torch.tensor(scale).double() + torch.tensor(shift).double()
    torch.testing.assert_close(mlp(moved), mlp(x), rtol=1e-2, atol=1e-2)


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    mlp = MLP(5, hidden=32, layers=3, dropout=0.5)
    x = torch.randn(10, 5)
    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
    assert mlp(x).shape == (10, 32)


def test_embeds_and_comes_back_from_its_files(tmp_path):
    torch.manual_seed(0)
    encoder = Encoder(CONFIG)
    x = 3 * torch.randn(20, 5) + 2
    encoder(x)  # running statistics
    save_encoder(encoder, CONFIG, ImageConfig(), tmp_path)
    z = encoder.eval()(x)
    assert z.shape == (20, 8)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(20))
    loaded, _ = load_encoder(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(x), z)


def test_starts_from_the_weights_of_a_run(tmp_path):
    torch.manual_seed(0)
    trained = Encoder(CONFIG)
    save_encoder(trained, CONFIG, ImageConfig(), tmp_path)
    weights = str(tmp_path / "encoder.safetensors")
    started = Encoder(EncoderConfig(name="mlp", dim=4, kwargs=CONFIG.kwargs, weights=weights))
    x = torch.randn(6, 5)
    assert torch.equal(started.backbone.eval()(x), trained.backbone.eval()(x))
    wider = {**CONFIG.kwargs, "hidden": 32}
    with pytest.raises(DataError, match="does not fit the encoder"):
        Encoder(EncoderConfig(name="mlp", kwargs=wider, weights=weights))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hidden": 0}, "hidden must be a whole number from 1, got 0"),
        ({"layers": 1.5}, "layers must be a whole number"),
        ({"features": 0}, "features must be a whole number"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"dropout": "half"}, r"dropout must lie in \[0, 1\)"),
        ({"width": 3}, "are features, .* hidden, layers and dropout; got features, width"),
    ],
)
def test_arguments_out_of_range(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        Encoder(EncoderConfig(name="mlp", kwargs={"features": 5, **kwargs}))


def test_what_an_mlp_has_not(tmp_path):
    with pytest.raises(ConfigError, match=r"takes from the dataset, .* got none"):
        Encoder(EncoderConfig(name="mlp"))
    with pytest.raises(ConfigError, match=r"encoder.pretrained"):
        EncoderConfig(name="mlp", pretrained=True)
    with pytest.raises(ConfigError, match=r"encoder.checkpointing"):
        EncoderConfig(name="mlp", checkpointing=True)
    encoder = Encoder(CONFIG)
    encoder.shown = ImageConfig()
    with pytest.raises(ConfigError, match="only an encoder of pictures"):
        encoder.save_pretrained(tmp_path / "never")


def test_an_encoder_fits_its_images():
    cnn, mlp = EncoderConfig(name="test_resnet"), EncoderConfig(name="mlp", kwargs={"layers": 1})
    assert fitted(cnn, None) is cnn
    assert fitted(mlp, 7).kwargs == {"layers": 1, "features": 7}
    assert fitted(fitted(mlp, 7), 7) == fitted(mlp, 7)
    with pytest.raises(ConfigError, match=r"'test_resnet' takes pictures.*encoder.name=mlp"):
        fitted(cnn, 7)
    with pytest.raises(ConfigError, match=r"'mlp' takes features.*a model of timm"):
        fitted(mlp, None)
    with pytest.raises(ConfigError, match=r"takes 5 features .* has 7"):
        fitted(CONFIG, 7)
