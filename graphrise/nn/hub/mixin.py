"""`from_pretrained`, `save_pretrained`, `push_to_hub`: the methods people expect of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from graphrise.data.files import whole_file
from graphrise.errors import DataError
from graphrise.nn.hub.card import card_text
from graphrise.nn.hub.read import CONFIG, PROJECTION, WEIGHTS, read_config
from graphrise.nn.hub.write import write_encoder

if TYPE_CHECKING:
    from graphrise.nn.encoder import Encoder


CARD = "README.md"


class HubMixin(ModelHubMixin):
    """What an `Encoder` can do with folders and the Hugging Face Hub.

    `ModelHubMixin` brings `save_pretrained(folder)` and `push_to_hub("user/name")`. Its sister
    `PyTorchModelHubMixin` would write our own weight names, which timm cannot load.
    """

    def _save_pretrained(self, save_directory: Path) -> None:
        publish(cast("Encoder", self), save_directory)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> Self:
        """Load a published encoder, in evaluation mode. Nothing is unpickled.

        Args:
            pretrained_model_name_or_path: Folder, or Hub id (`user/name`).
            force_download: Download from the Hub even what is in its cache.
            token: Of the Hub; None: the one that is logged in.
            cache_dir: Of the Hub's files; None: the Hub's default.
            local_files_only: Take Hub files from the cache only.
            revision: Branch, tag or commit on the Hub.

        Returns:
            The encoder; `shown` says how large the pictures it wants are.

        Raises:
            DataError: There is no such folder or repository, or it is not of a graphrise encoder.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            try:
                found = snapshot_download(
                    str(pretrained_model_name_or_path),
                    allow_patterns=[CONFIG, WEIGHTS, PROJECTION],
                    force_download=force_download,
                    token=token,
                    cache_dir=cache_dir,
                    local_files_only=local_files_only,
                    revision=revision,
                )
            except (OSError, ValueError, HfHubHTTPError) as error:
                raise DataError(
                    f"{pretrained_model_name_or_path}: there is no such folder, and the Hub says "
                    f"{type(error).__name__}: {error}"
                ) from error
            folder = Path(found)
        described = read_config(folder)
        encoder: Any = cls(described.encoder)  # type: ignore[call-arg]
        described.fill(encoder)
        return encoder.eval()


def publish(
    encoder: Encoder,
    folder: Path,
    origin: Mapping[str, str] | None = None,
    exported: Mapping[str, str] | None = None,
) -> None:
    """Write weights, config and, unless there is one, the model card (README.md).

    Args:
        encoder: `shown` must be set.
        folder: Existing folder.
        origin: Where the encoder comes from, name to text.
        exported: Further files of the folder that hold the encoder, `model.onnx` or `model.pt2`, to
            a sentence on how they were checked.

    Raises:
        ConfigError: As `write_encoder`.
        GraphriseError: As `write_encoder`.
    """
    one_file = write_encoder(encoder, folder)
    if not (folder / CARD).exists():
        with whole_file(folder / CARD) as temporary:
            text = card_text(encoder, origin or {}, exported or {}, one_file=one_file)
            temporary.write_text(text, encoding="utf-8")
