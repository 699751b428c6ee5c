"""`graphrise pack`."""

import json

import pytest

from graphrise.cli import main
from graphrise.data.tables import read_images
from graphrise.images import pack as pack_module


def run(*argv):
    return main(["pack", *map(str, argv)])


def test_pack(dataset, tmp_path, capsys):
    assert run(dataset, "--workers=1") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{dataset / 'packed'}: 15 images, 0.0 MB -> 0.0 MB, 0 kept, 15 re-enc")
    assert len(out.splitlines()) == 1
    other = tmp_path / "other"
    assert run(dataset, "--out", other, "--side=32", "--quality=70", "--workers=1") == 0
    settings = json.loads((other / "settings.json").read_text())
    assert (settings["side"], settings["quality"]) == (32, 70)
    assert run(dataset, "--out", other, "--workers=1") == 1
    assert "(side, quality); give --overwrite" in capsys.readouterr().err
    assert run(dataset, "--out", other, "--workers=1", "--overwrite") == 0
    assert json.loads((other / "pack.json").read_text())["side"] == 256


def test_a_finished_pack_says_so(dataset, capsys):
    assert run(dataset, "--workers=1") == 0
    first = capsys.readouterr().out
    assert run(dataset, "--workers=1") == 0
    again = capsys.readouterr().out
    said = "packed before with these settings, nothing to do: "
    assert again == first.replace(": 15 images", f": {said}15 images")
    assert run(dataset, "--workers=1", "--overwrite") == 0
    assert capsys.readouterr().out == first


def test_bad_images(make, dataset, capsys):
    rows = read_images(dataset).table.to_pylist()
    rows[4]["image"] = b"nothing"
    make.save_tables(dataset, rows)
    assert run(dataset, "--workers=1") == 1
    err = capsys.readouterr().err
    assert err.startswith("graphrise: ")
    assert "image_id 'red-4' (column 'image') cannot be read: not a picture" in err
    assert len(err.splitlines()) == 1
    assert run(dataset, "--workers=1", "--on-bad-image=skip") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("note: image_id 'red-4' (column 'image') left out: not a picture")
    assert out[1].endswith("14 re-encoded, 1 left out")


def test_wrong_settings(dataset, tmp_path, capsys):
    assert run(dataset, "--side=2") == 1
    assert "side must be at least 8" in capsys.readouterr().err
    assert run(tmp_path / "nowhere") == 1
    assert "nowhere: no such dataset folder" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(SystemExit) as caught:
        run(dataset, "--on-bad-image=ignore")
    assert caught.value.code == 2


def test_ctrl_c(dataset, monkeypatch, capsys):
    def interrupted(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(pack_module, "write_part", interrupted)
    assert run(dataset, "--workers=1") == 130
    assert capsys.readouterr().err == "graphrise: interrupted\n"
