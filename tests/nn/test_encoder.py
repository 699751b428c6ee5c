"""phi(x): shapes, normalisation, and the exported files."""

import json
import pickle

import pytest
import torch

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import ConfigError, DataError
from graphrise.nn.encoder import Encoder, load_encoder, save_encoder


@pytest.fixture
def config():
    return EncoderConfig(name="test_resnet", dim=8)


@pytest.fixture
def encoder(config):
    torch.manual_seed(0)
    return Encoder(config).eval()


@pytest.fixture
def exported(encoder, config, tmp_path):
    encoder.mean, encoder.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    save_encoder(encoder, config, ImageConfig(size=24, crop_pct=0.75), tmp_path)
    return tmp_path


def test_embeds(encoder):
    x = torch.randn(3, 3, 16, 16)
    z = encoder(x)
    assert z.shape == (3, 8)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
    plain = Encoder(EncoderConfig(name="test_resnet", dim=5, normalize=False)).eval()
    assert not torch.allclose(plain(x).norm(dim=1), torch.ones(3), atol=0.01)


def test_embeddings_are_float32_under_autocast(encoder):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = encoder(torch.randn(2, 3, 16, 16))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(2))


def test_saved_and_loaded_embeds_the_same(encoder, exported):
    x = torch.randn(2, 3, 24, 24)
    loaded, shown = load_encoder(exported)
    assert (shown.size, shown.crop_pct, shown.canvas) == (24, 0.75, 32)
    assert not loaded.training
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    torch.testing.assert_close(loaded(x), encoder(x), rtol=0, atol=0)
    assert sorted(p.name for p in exported.iterdir()) == ["encoder.json", "encoder.safetensors"]


@pytest.mark.parametrize("normalize", [True, False])
def test_the_files_say_all_of_the_architecture(tmp_path, normalize):
    config = EncoderConfig(
        name="resnet18",
        kwargs={"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1), "stem_width": 8},
        dim=4,
        normalize=normalize,
    )
    encoder = Encoder(config).eval()
    save_encoder(encoder, config, ImageConfig(size=32), tmp_path)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(load_encoder(tmp_path)[0](x), encoder(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "kwargs"), [("no_such_model", {}), ("test_resnet", {"no_such_argument": 1})]
)
def test_what_timm_refuses(name, kwargs):
    with pytest.raises(ConfigError, match=rf"encoder '{name}' with .*timm says"):
        Encoder(EncoderConfig(name=name, kwargs=kwargs))


def test_nothing_is_unpickled(exported):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was loaded",)

    (exported / "encoder.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="damaged"):
        load_encoder(exported)


def test_damage_and_absence(exported):
    weights, description = exported / "encoder.safetensors", exported / "encoder.json"
    whole, text = weights.read_bytes(), description.read_text()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_encoder(exported)
    weights.write_bytes(whole)
    found = json.loads(text)
    found["encoder"]["dim"] = 9
    description.write_text(json.dumps(found))
    with pytest.raises(DataError, match="damaged"):
        load_encoder(exported)
    description.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_encoder(exported)
    description.write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        load_encoder(exported)
    for file in (weights, description):
        file.unlink()
        with pytest.raises(DataError, match=rf"not a finished run \({file.name} is missing\)"):
            load_encoder(exported)
        description.write_text(text)
        weights.write_bytes(whole)
