"""Write the digits dataset folder: scikit-learn's 1,797 digits and a simulated click log, offline.

    python datasets/digits.py OUT

Needs `pip install graphrise[demo]`. The digits are BSD-licensed (UCI, via scikit-learn).
"""

from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.digits import write_digits
from graphrise.data.simulate import SimulatorConfig

DEFAULT = SimulatorConfig(sessions=4_000, drop_unique_keywords=False)


def main(
    out: Path,
    simulator: SimulatorConfig = DEFAULT,
    labelled: int = 20,
    overwrite: bool = False,
) -> None:
    """Write the digits dataset folder.

    Args:
        out: Folder to write.
        simulator: Behaviour of the simulated users.
        labelled: One image in this many is labelled.
        overwrite: Replace an earlier folder.
    """
    count = write_digits(out, simulator=simulator, labelled=labelled, overwrite=overwrite)
    print(f"{out}: {count:,} images")


if __name__ == "__main__":
    run_script(main)
