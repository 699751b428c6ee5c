"""The emoji catalogue: five vendors' drawings of the same emoji, from pinned npm packages.

Labelled: apple. Unlabelled, in log and graph: google, twitter. Never in log or graph: facebook
(validation queries) and fluent (test queries). The drawings keep their vendors' terms and are
fetched at run time, never shipped.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from graphrise.data.files import whole_folder
from graphrise.data.npm import NpmPackage, fetch
from graphrise.data.simulate import SimulatorConfig, simulate_impressions
from graphrise.errors import ConfigError

SHEETS = NpmPackage(
    "emoji-datasource",
    "16.0.0",
    "sha512-/qHKqK5Nr3+8zhgO6kHmF43Fm5C8HNn0AaFRIpgw"
    "8HF3+uF0Vfc8jgLI1ZQS5ba1vBzksS8NBCjHejwLb2D/Sg==",
)
FLUENT = NpmPackage(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1"
    "DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
)
KEYWORDS = NpmPackage(
    "emojilib",
    "4.0.3",
    "sha512-KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh"
    "1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
)
SPLITS = {
    "apple": "gallery",
    "google": "train",
    "twitter": "train",
    "facebook": "val",
    "fluent": "test",
}
LOGGED = ("apple", "google", "twitter")
SIDE = 32  # pixels of a drawing in the sheets; a cell has one pixel of border on each side


@dataclass(frozen=True)
class Emoji:
    """One emoji that all five vendors draw; `code`: its code points, no variation selector."""

    code: str
    name: str
    category: str
    subcategory: str
    cell: tuple[int, int]
    keywords: tuple[str, ...]


def plain_code(code: str) -> str:
    """Lower-case code points without the variation selector, the name all packages agree on."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def catalogue(sheets: Path, fluent: Path, keywords: Path) -> list[Emoji]:
    """Emoji that every vendor draws itself, in the packages' order.

    Left out: flags, families, and the gendered variants of a person (near-identical drawings).
    The sheets fill a vendor's gap with Apple's drawing, so `has_img_<vendor>` must be true.
    """
    drawn = {plain_code(p.stem) for p in (fluent / "assets").glob("*.webp")}
    words = json.loads((keywords / "dist" / "emoji-en-US.json").read_text(encoding="utf-8"))
    words_of = {plain_code("-".join(f"{ord(c):04x}" for c in key)): w for key, w in words.items()}
    found = []
    for entry in json.loads((sheets / "emoji.json").read_text(encoding="utf-8")):
        code = plain_code(entry["unified"])
        everywhere = all(entry[f"has_img_{v}"] for v in SPLITS if v != "fluent") and code in drawn
        if not everywhere or code not in words_of or _near_identical(entry, code):
            continue
        found.append(
            Emoji(
                code=code,
                name=(entry["name"] or entry["short_name"]).lower(),
                category=entry["category"],
                subcategory=entry["subcategory"],
                cell=(entry["sheet_x"], entry["sheet_y"]),
                keywords=tuple(w.replace("_", " ") for w in words_of[code]),
            )
        )
    return found


def _near_identical(entry: dict, code: str) -> bool:
    gendered = "200d-2640" in code or "200d-2642" in code
    gendered = gendered or code.startswith(("1f468-200d", "1f469-200d"))
    return gendered or entry["category"] == "Flags" or entry["subcategory"] == "family"


def on_white(image: Image.Image) -> Image.Image:
    """RGB image with the alpha channel composited on white."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def drawings(emoji: list[Emoji], sheets: Path, fluent: Path) -> dict[str, list[bytes]]:
    """PNG bytes (32 x 32 RGB) of every emoji by vendor, in the order of `emoji`."""
    out: dict[str, list[bytes]] = {}
    cell = SIDE + 2
    for vendor in SPLITS:
        if vendor == "fluent":
            files = {plain_code(p.stem): p for p in sorted((fluent / "assets").glob("*.webp"))}
            cells = [
                on_white(Image.open(files[e.code])).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                for e in emoji
            ]
        else:
            sheet = on_white(Image.open(sheets / "img" / vendor / "sheets" / "32.png"))
            cells = []
            for e in emoji:
                x, y = (1 + cell * i for i in e.cell)
                cells.append(sheet.crop((x, y, x + SIDE, y + SIDE)))
        out[vendor] = [_png(c) for c in cells]
    return out


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def write_emoji(
    out: Path,
    *,
    cache: Path,
    simulator: SimulatorConfig | None = None,
    labelled: tuple[str, ...] = ("apple",),
    labelled_share: float = 1.0,
    limit: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write the emoji dataset folder.

    Args:
        out: Folder to write: `images.parquet`, `impressions.parquet`.
        cache: Where fetched packages are kept.
        simulator: Behaviour of the simulated users; None: its defaults.
        labelled: Vendors whose `label` is given to training; all three logged ones make the upper
            reference. facebook and fluent keep their label for evaluation.
        labelled_share: Share of the emoji whose label is given to them, in (0, 1]; the others have
            none at any vendor. Drawn one by one from the simulator's seed: those of a smaller share
            are among those of a larger one.
        limit: Keep every n-th emoji so that about this many are left.
        overwrite: Replace an earlier folder.

    Returns:
        Number of emoji.

    Raises:
        DataError: A package could not be fetched or is not the pinned one; `out` exists.
        ConfigError: `labelled` names another vendor, `labelled_share` is out of range, or `limit`
            is below 2.
    """
    if not set(labelled) <= set(LOGGED):
        raise ConfigError(f"labelled vendors must be of {', '.join(LOGGED)}; got {labelled}")
    if not 0 < labelled_share <= 1:
        raise ConfigError(f"labelled_share must lie in (0, 1], got {labelled_share}")
    if limit is not None and limit < 2:
        raise ConfigError(f"limit must be at least 2 emoji, got {limit}")
    sheets, fluent, words = (fetch(p, cache) for p in (SHEETS, FLUENT, KEYWORDS))
    emoji = catalogue(sheets, fluent, words)
    if limit is not None and limit < len(emoji):
        emoji = emoji[:: -(-len(emoji) // limit)]
    simulator = simulator or SimulatorConfig()
    told = {e.code for e in emoji if _in_share(e.code, labelled_share, simulator.seed)}
    images = _image_table(emoji, drawings(emoji, sheets, fluent), labelled, told)
    ids = [f"{v}/{e.code}" for v in LOGGED for e in emoji]
    impressions = simulate_impressions(
        ids,
        list(range(len(emoji))) * len(LOGGED),
        {i: e.keywords for i, e in enumerate(emoji)},
        simulator,
    )
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        pq.write_table(images, folder / "images.parquet")
        pq.write_table(impressions, folder / "impressions.parquet")
    return len(emoji)


def _in_share(code: str, share: float, seed: int) -> bool:
    """Whether a share of all codes holds this one; as long as it grows, none is lost."""
    digest = hashlib.blake2b(f"{seed}/{code}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def _image_table(
    emoji: list[Emoji],
    pictures: dict[str, list[bytes]],
    labelled: tuple[str, ...],
    told: set[str],
) -> pa.Table:
    """A row a drawing; training sees the labels of `told` emoji of `labelled` vendors."""
    rows = []
    for vendor, split in SPLITS.items():
        for e, image in zip(emoji, pictures[vendor], strict=True):
            known = vendor not in LOGGED or (vendor in labelled and e.code in told)
            rows.append(
                {
                    "image_id": f"{vendor}/{e.code}",
                    "image": image,
                    "split": split,
                    # What training may see ...
                    "label": e.code if known else None,
                    # ... and what only evaluation reads.
                    "instance": e.code,
                    "name": e.name,
                    "vendor": vendor,
                    "category": e.category,
                    "subcategory": e.subcategory,
                }
            )
    return pa.Table.from_pylist(rows)
