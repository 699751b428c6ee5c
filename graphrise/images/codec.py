"""libjpeg-turbo, through simplejpeg."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from graphrise.errors import GraphriseError


@cache
def turbo() -> ModuleType:
    """The module simplejpeg, imported where the first JPEG needs it.

    Raises:
        GraphriseError: It is not installed, as on machines whose packages somebody else chose;
            everything but JPEG works without.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise GraphriseError(
            f"JPEG needs simplejpeg, which cannot be imported ({error}): pip install simplejpeg"
        ) from error
    return simplejpeg
