"""A compiled encoder: the same numbers, the same names, and one clear error where it fails."""

import pytest
import torch

from graphrise.errors import GraphriseError
from graphrise.train.compiled import compiler_error

SMALL = {
    "name": "resnet18",
    "kwargs": {"channels": (8, 8, 8, 8), "layers": (1, 1, 1, 1), "stem_width": 8},
}


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    """Nothing compiled before, or by another test, is found."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def losses_of(module, batches):
    found = []
    for batch in batches:
        module.zero_grad()
        terms = module.losses(batch)
        (terms["label"] + terms["edge"]).backward()
        gradient = next(module.encoder.backbone.parameters()).grad
        found.append((terms["label"].detach(), terms["edge"].detach(), gradient.clone()))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_same_losses_and_names(make, loop):
    # Batches of two sizes: unique images of a batch are not always as many.
    batches = [loop.batch(list(range(n)), seeds=4) for n in (8, 6)]
    results, names = [], []
    for compiled in (False, True):
        module = loop.module(make, encoder=SMALL, edges={"alpha": 1.0}, train={"compile": compiled})
        module.train()
        results.append(losses_of(module, batches))
        names.append(list(module.state_dict()))
    assert names[0] == names[1]
    for plain, fast in zip(*results, strict=True):
        for want, found in zip(plain, fast, strict=True):
            torch.testing.assert_close(found, want, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
# Torch warns that its caches are off, as they have to be here.
@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled:UserWarning")
def test_without_a_compiler(make, loop, monkeypatch):
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    module = loop.module(make, encoder=SMALL, train={"compile": True})
    with pytest.raises(GraphriseError, match=r"train\.compile: .*set train\.compile to false"):
        module.training_step(loop.batch([0, 1, 2, 3]), 0)


def test_other_errors_are_not_the_compilers():
    assert compiler_error(RuntimeError("out of memory")) is None
    from torch._dynamo.exc import TorchRuntimeError

    found = compiler_error(TorchRuntimeError("\nthe first line\nthe second"))
    assert found is not None
    assert "TorchRuntimeError: the first line)" in str(found)
