"""The Hub at its boundary: what would be uploaded, and where downloads come from."""

import shutil
from types import SimpleNamespace

import huggingface_hub.hub_mixin
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError

import graphrise.nn.hub.mixin
from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import DataError
from graphrise.nn import Encoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    made = Encoder(EncoderConfig(name="test_resnet", dim=8)).eval()
    made.shown = ImageConfig(size=32)
    return made


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub in a folder: `HfApi` puts repositories there, `snapshot_download` finds them."""
    home, asked = tmp_path / "hub", {}

    class Api:
        def __init__(self, token=None):
            asked["token"] = token

        def create_repo(self, repo_id, **options):
            asked.update(options)
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id, folder_path, **options):
            asked.update(options)
            shutil.copytree(folder_path, home / repo_id)
            return f"commit of {repo_id}"

    def download(repo_id, *, allow_patterns, **options):
        asked.update(options, allow_patterns=allow_patterns)
        if not (home / repo_id).is_dir():
            raise LocalEntryNotFoundError("no network")
        return str(home / repo_id)

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    monkeypatch.setattr(graphrise.nn.hub.mixin, "snapshot_download", download)
    return SimpleNamespace(home=home, asked=asked)


def test_there_and_back(encoder, hub):
    assert encoder.push_to_hub("user/name", private=True, token="t") == "commit of user/name"
    assert (hub.asked["private"], hub.asked["token"]) == (True, "t")
    repository = hub.home / "user" / "name"
    files = ["README.md", "config.json", "model.safetensors"]
    assert sorted(p.name for p in repository.iterdir()) == files
    loaded = Encoder.from_pretrained("user/name", revision="v1", token="u")
    assert (hub.asked["revision"], hub.asked["token"]) == ("v1", "u")
    assert set(hub.asked["allow_patterns"]) >= {"config.json", "model.safetensors"}
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded(x), encoder(x), rtol=0, atol=0)


def test_the_card_is_one_that_the_hub_reads(encoder, hub):
    encoder.push_to_hub("user/name")
    card = ModelCard.load(hub.home / "user" / "name" / "README.md")
    found = card.data.to_dict()
    assert (found["library_name"], found["pipeline_tag"]) == ("timm", "image-feature-extraction")
    assert "license" not in found


def test_neither_a_folder_nor_a_repository(hub, tmp_path):
    with pytest.raises(DataError, match=r"user/none: there is no such folder.*no network"):
        Encoder.from_pretrained("user/none")


def test_a_misspelt_folder(tmp_path):
    # The Hub refuses the name before it asks the network.
    with pytest.raises(DataError, match="there is no such folder"):
        Encoder.from_pretrained(tmp_path / "no" / "such" / "folder")


def test_a_repository_of_another_model(hub):
    (hub.home / "user" / "other").mkdir(parents=True)
    (hub.home / "user" / "other" / "config.json").write_text('{"architecture": "resnet18"}')
    with pytest.raises(DataError, match="not of a graphrise encoder"):
        Encoder.from_pretrained("user/other")
