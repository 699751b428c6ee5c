"""Running a script's one function as a command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

from jsonargparse import auto_cli, set_parsing_settings

from graphrise.errors import GraphriseError


def run_script(main: Callable[..., None]) -> None:
    """Call `main` with the arguments of the command line; its docstring is the help.

    Exits with 1 and one line on stderr for an error, 2 for wrong arguments.
    """
    # timm and PyG script functions at import, which torch 2.14 calls deprecated.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    try:
        auto_cli(main)
    except (GraphriseError, OSError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        sys.exit(1)
