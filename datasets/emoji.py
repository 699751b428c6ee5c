"""Write the emoji dataset folder: five vendors' drawings and a simulated click log.

    python datasets/emoji.py OUT [--simulator.sessions 60000] [--labelled '[apple,google,twitter]']

Fetches about 40 MB of pinned, digest-checked npm packages. Licences: emoji-datasource,
fluent-emoji-3d and emojilib are MIT; the drawings keep their vendors' terms and are not shipped.
Splits: apple (gallery, labelled), google and twitter (train, unlabelled), facebook (val queries),
fluent (test queries); facebook and fluent are never in the log.
"""

from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.emoji import write_emoji
from graphrise.data.simulate import SimulatorConfig

DEFAULT = SimulatorConfig()


def main(
    out: Path,
    cache: Path = Path("packages"),
    simulator: SimulatorConfig = DEFAULT,
    labelled: tuple[str, ...] = ("apple",),
    labelled_share: float = 1.0,
    limit: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write the emoji dataset folder.

    Args:
        out: Folder to write.
        cache: Where fetched packages are kept.
        simulator: Behaviour of the simulated users.
        labelled: Vendors whose label training sees.
        labelled_share: Share of the emoji whose label it sees of them.
        limit: About this many emoji instead of all.
        overwrite: Replace an earlier folder.
    """
    count = write_emoji(
        out,
        cache=cache,
        simulator=simulator,
        labelled=labelled,
        labelled_share=labelled_share,
        limit=limit,
        overwrite=overwrite,
    )
    print(f"{out}: {count:,} emoji of five vendors")


if __name__ == "__main__":
    run_script(main)
