"""One clear error where torch.compile fails."""

from __future__ import annotations

from graphrise.errors import GraphriseError

_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch")


def compiler_error(error: Exception) -> GraphriseError | None:
    """What to raise in the place of an exception; None if it is not the compiler's."""
    kinds = [type(e) for e in (error, error.__cause__) if e is not None]
    if not any(kind.__module__.startswith(_COMPILER) for kind in kinds):
        return None
    lines = [line for line in str(error).splitlines() if line.strip()]
    return GraphriseError(
        f"train.compile: torch.compile cannot compile the encoder ({type(error).__name__}: "
        f"{lines[0] if lines else 'no more is said'}). It needs a C++ compiler on a CPU and Triton "
        "on a GPU; without, set train.compile to false"
    )
