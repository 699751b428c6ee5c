"""Arrays of a JSON file, an item at a time: the same as from the whole file."""

import json
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphrise.data import json_items as module
from graphrise.data.json_items import json_items
from graphrise.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def save(tmp_path, text):
    file = tmp_path / "some.json"
    file.write_text(text, encoding="utf-8")
    return file


@given(
    st.dictionaries(st.text(), VALUES, max_size=5),
    st.integers(1, 9),
    st.sampled_from([None, 1]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_as_from_the_whole_file(tmp_path, values, chunk, indent, ascii_only):
    file = save(tmp_path, json.dumps(values, indent=indent, ensure_ascii=ascii_only) + "\n")
    with mock.patch.object(module, "CHUNK", chunk):
        found = list(json_items(file))
    assert found == [(k, v) for k, of in values.items() if isinstance(of, list) for v in of]


@given(st.lists(VALUES, max_size=5), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_that_is_an_array(tmp_path, values, chunk):
    file = save(tmp_path, json.dumps(values))
    with mock.patch.object(module, "CHUNK", chunk):
        assert list(json_items(file)) == [("", value) for value in values]


@pytest.mark.parametrize(
    "text",
    ["", "3", '{"a": [1, 2', '{"a": [1 2]}', '{"a": 1', '{"a" 1}', "[1, nonsense]", '{"a": [1}'],
)
def test_what_is_not_json(tmp_path, text):
    file = save(tmp_path, text)
    with pytest.raises(DataError, match=r"some.json: not JSON, or cut off: .* at character"):
        list(json_items(file))


def test_a_file_without_an_end_is_not_read_whole(tmp_path):
    file = save(tmp_path, '["' + "x" * 1000)
    with (
        mock.patch.object(module, "CHUNK", 10),
        mock.patch.object(module, "LONGEST", 100),
        pytest.raises(DataError, match=r"value expected at character 1$"),
    ):
        list(json_items(file))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(json_items(tmp_path / "none.json"))
    (tmp_path / "some.json").write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match=r"some.json: not JSON"):
        list(json_items(tmp_path / "some.json"))
