"""model.onnx and model.pt2: batches of any size, and what happens when they are wrong."""

import sys

import numpy as np
import pytest
import torch

from graphrise.config import EncoderConfig
from graphrise.errors import GraphriseError
from graphrise.export.checks import largest_difference
from graphrise.export.pixels import PixelEncoder, sample_pixels
from graphrise.export.program import traced
from graphrise.loader.augment import Augment
from graphrise.nn import Encoder
from graphrise.nn.encoder import load_encoder


@pytest.fixture(scope="module")
def run_of(finished):
    """uint8 pixels -> what the run's encoder makes of them, as `graphrise embed` does."""
    encoder, shown = load_encoder(finished[1])
    prepare = Augment(shown, encoder.mean, encoder.std)

    @torch.inference_mode()
    def embedded(pixels):
        return encoder(prepare(pixels))

    return embedded


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_onnx(exported, run_of, batch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install graphrise[onnx]")
    session = onnxruntime.InferenceSession(
        exported[0] / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("pixels", "tensor(uint8)", [3, 16, 16])
    assert (given.name, given.type) == ("embedding", "tensor(float)")
    pixels = sample_pixels(batch, 16)
    (z,) = session.run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(z, run_of(pixels), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_program(exported, run_of, batch):
    pixels = sample_pixels(batch, 16)
    with torch.inference_mode():
        z = torch.export.load(exported[0] / "model.pt2").module()(pixels)
    torch.testing.assert_close(z, run_of(pixels), rtol=0, atol=1e-5)


def test_without_onnx_runtime_it_is_said(exported, finished, monkeypatch, tmp_path, capsys):
    from graphrise.cli import main

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(finished[1]), str(tmp_path / "out"), "--onnx"]) == 0
    assert "note: model.onnx was not compared" in capsys.readouterr().out
    assert "was not compared" in (tmp_path / "out" / "README.md").read_text()


@pytest.fixture
def model():
    encoder = Encoder(EncoderConfig(name="test_resnet", dim=8)).train()
    made = PixelEncoder(encoder)
    assert encoder.training
    return made


@pytest.mark.parametrize("wrong", [lambda z: z + 2e-4, lambda z: z * float("nan")])
def test_other_embeddings_are_refused(model, wrong):
    assert largest_difference("model.x", model, model, 16) == 0
    with pytest.raises(GraphriseError, match=r"model.x: its embeddings differ .* by up to"):
        largest_difference("model.x", model, lambda x: wrong(model(x)), 16)


def test_an_encoder_that_cannot_be_traced(model):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return x.mean() if x.sum() > 0 else x

    model.encoder = Odd()
    with pytest.raises(GraphriseError, match=r"torch.export cannot trace this encoder"):
        traced(model, 16)
