"""The command line: every case is listed, and has its options."""

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_options(name, capsys):
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: python -m benchmarks {name} " in said
    assert "--json" in said
    assert "--csv" in said


def test_all_cases_are_listed(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    listed = capsys.readouterr().out
    for name, case in CASES.items():
        assert f"    {name}" in listed
        assert case.help.split()[0] in listed


@pytest.mark.parametrize("wrong", [[], ["pears"], ["ops", "--only", "pears"]])
def test_what_there_is_not(wrong, capsys):
    with pytest.raises(SystemExit) as done:
        main(wrong)
    assert done.value.code == 2
    assert "usage: python -m benchmarks" in capsys.readouterr().err
