"""A backbone's weights from a file: whose names fit, and what each wrong file is told."""

import argparse
import json
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import ConfigError, DataError
from graphrise.nn.encoder import Encoder, load_encoder, save_encoder

NAME = "test_resnet"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(7)
    model = timm.create_model(NAME, num_classes=5)
    for value in model.state_dict().values():
        value.add_(torch.rand(value.shape) if value.is_floating_point() else 3)
    return model


def encoder_of(file, **settings):
    return Encoder(EncoderConfig(name=NAME, dim=8, weights=str(file), **settings))


def assert_loaded(encoder, model):
    want = model.state_dict()
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, want[name]), name


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model", "model_ema"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_as_timm_writes_them(model, tmp_path, suffix, wrapped):
    file = tmp_path / f"weights{suffix}"
    state = model.state_dict()
    if suffix == ".safetensors":
        save_file(state, file)
    elif wrapped is None:
        torch.save(state, file)
    else:
        named = {f"module.{k}": v for k, v in state.items()}
        torch.save({wrapped: named, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, file)
    assert_loaded(encoder_of(file), model)


def test_the_classifier_is_passed_over_and_old_files_have_no_counts(model, tmp_path):
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert any(k.startswith("fc.") for k in state)
    torch.save(state, tmp_path / "old.pth")
    encoder = encoder_of(tmp_path / "old.pth")
    assert torch.equal(
        encoder.backbone.layer1[0].bn1.running_var, state["layer1.0.bn1.running_var"]
    )


def test_half_precision_is_widened(model, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(half, tmp_path / "half.safetensors")
    found = encoder_of(tmp_path / "half.safetensors").backbone.state_dict()
    assert all(torch.equal(v, half[k].to(v.dtype)) for k, v in found.items())


def test_pixels_are_normalised_as_timm_says(model, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file)
    encoder = encoder_of(file)
    assert encoder.mean == tuple(model.default_cfg["mean"])
    assert encoder.std == tuple(model.default_cfg["std"])
    assert Encoder(EncoderConfig(name=NAME)).mean == (0.5, 0.5, 0.5)
    # As a folder of timm's Hub has it; of another library's it says nothing.
    beside = tmp_path / "config.json"
    beside.write_text(json.dumps({"pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}}))
    assert (encoder_of(file).mean, encoder_of(file).std) == ((0.1,) * 3, (0.2,) * 3)
    beside.write_text(json.dumps({"hidden_size": 3}))
    assert encoder_of(file).mean == encoder.mean


@pytest.fixture
def run(tmp_path):
    """A run folder's encoder, and it."""
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(1)
    config = EncoderConfig(name=NAME, dim=4)
    encoder = Encoder(config)
    encoder.mean, encoder.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    save_encoder(encoder, config, ImageConfig(size=32), folder)
    return folder, encoder


def test_the_encoder_of_a_run_goes_on_as_a_backbone(run):
    folder, before = run
    torch.manual_seed(2)
    encoder = encoder_of(folder / "encoder.safetensors")
    assert_loaded(encoder, before.backbone)
    # Eight dimensions now: the projection is a new one.
    assert encoder.projection.weight.shape == (8, before.projection.in_features)
    assert (encoder.mean, encoder.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    (folder / "encoder.json").write_text("{}")
    with pytest.raises(DataError, match=r"encoder\.json: mean and std of"):
        encoder_of(folder / "encoder.safetensors")


def test_a_run_can_be_read_when_its_file_of_weights_is_gone(model, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file)
    config = EncoderConfig(name=NAME, dim=8, weights=str(file), checkpointing=True)
    encoder = Encoder(config).eval()
    save_encoder(encoder, config, ImageConfig(size=32), tmp_path)
    file.unlink()
    found, _ = load_encoder(tmp_path)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(found(x), encoder(x), rtol=0, atol=0)
    assert found.mean == tuple(model.default_cfg["mean"])


def test_names_and_shapes_that_do_not_fit(model, tmp_path):
    state = model.state_dict()
    names = [k for k in state if k.startswith("layer1") and not k.endswith("tracked")]
    for name in names:
        del state[name]
    state |= {"layer9.weight": torch.ones(1), "conv1.0.weight": torch.ones(2, 3)}
    file = tmp_path / "other.pth"
    torch.save(state, file)
    with pytest.raises(DataError) as caught:
        encoder_of(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: encoder.weights does not fit the encoder; ")
    first = ", ".join(names[:3])
    assert f"missing: {first} and {len(names) - 3} more; unexpected: layer9.weight;" in message
    shape = list(timm.create_model(NAME).state_dict()["conv1.0.weight"].shape)
    assert f"of another shape: conv1.0.weight [2, 3] for {shape}" in message
    assert "encoder.name" in message


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_files_that_are_none(tmp_path, name):
    file = tmp_path / name
    with pytest.raises(DataError, match=r"w\..*encoder\.weights names it, and there is no such"):
        encoder_of(file)
    for content in (b"", b"text", pickle.dumps(Trap()), pickle.dumps([1, 2])):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"w\..*encoder\.weights (cannot be read|holds no)"):
            encoder_of(file)


@pytest.mark.parametrize("value", [{}, [1.0], torch.ones(2), {"a": 1}, {"model": Trap()}])
def test_files_without_tensors_by_name(tmp_path, value):
    file = tmp_path / "w.pth"
    torch.save(value, file)
    with pytest.raises(DataError, match=r"w\.pth: encoder\.weights (cannot be read|holds no)"):
        encoder_of(file)


def test_one_source_of_weights():
    with pytest.raises(ConfigError, match=r"encoder\.pretrained and encoder\.weights"):
        EncoderConfig(pretrained=True, weights="w.pth")
