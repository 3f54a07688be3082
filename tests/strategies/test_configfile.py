import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from strategies.configfile import MAX_BYTES, fill_in, parse_yaml, read_config


@pytest.fixture
def read(tmp_path):
    def read(text, **environ):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return read_config(path, environ)

    return read


def test_only_true_and_false_are_truth_values_and_dates_stay_text(read):
    text = "a: [ON, NO, Y, off, 0700, 12:30, 1_000, 1e5, .5, -3, true, ~]\nb: 2020-01-02\nc:"
    assert read(text) == {
        "a": ["ON", "NO", "Y", "off", "0700", "12:30", 1000, 1e5, 0.5, -3, True, None],
        "b": "2020-01-02",
        "c": None,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", "line 1: anchors and aliases"),
        ("a: [1]\nb: *x", "line 2: anchors and aliases"),
        ("a:\n  b: 1\n  b: 2", "line 3: 'b' is given twice"),
        ("x: !!python/object/apply:os.system ['true']", "python/object"),
        ("x: !!binary aGk=\n1: 2", "line 2: a name must be a text"),
        ("? [a]\n: 1", "line 1: a name must be a text"),
        ("a: [1", "line 1"),
        ("a: 1\n---\nb: 2", "another document"),
        ("- a\n- b", "holds no settings"),
        ("", "holds no settings"),
        ("a: 1\nsymbols: [${SYM}]\n", "line 2: expected ',' or ']', but got '{'; put the ${…} in quotes"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 16"),
        ("a: \x01", "is not YAML"),
        ("#" * (MAX_BYTES + 1), "larger than 64 KiB"),
    ],
)
def test_what_no_config_needs_is_refused(read, text, message):
    with pytest.raises(BadInput, match=r"config\.yaml") as error:
        read(text)
    assert message in str(error.value)


def test_a_billion_laughs_are_refused_at_the_first_anchor(read):
    laughs = "a: &a [x,x]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(BadInput, match="line 1: anchors"):
        read(laughs)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.yaml: cannot be read \(No such file"):
        read_config(tmp_path / "none.yaml", {})
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(tmp_path, {})
    (tmp_path / "binary.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(BadInput, match="is not UTF-8"):
        read_config(tmp_path / "binary.yaml", {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${A}", "one"),
        ("x-${A}-${B:-two}", "x-one-two"),
        ("${EMPTY}", ""),
        ("${EMPTY:-two}", "two"),
        ("${B:-}", ""),
        ("$$ and $${A} and $A", "$ and ${A} and $A"),
    ],
)
def test_variables_are_filled_in(text, found):
    assert fill_in({"k": [text]}, {"A": "one", "EMPTY": ""}) == {"k": [found]}


def test_a_value_of_a_variable_is_data_and_never_yaml(read):
    assert read("a: ${A}", A="[1, 2]\nb: 3") == {"a": "[1, 2]\nb: 3"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${B}", "data.ib: B is not set"),
        ("${B", "data.ib: '${B' has a ${"),
        ("${1x}", "has a ${"),
        ("${A:+x}", "has a ${"),
    ],
)
def test_a_missing_variable_names_place_and_variable(text, message):
    with pytest.raises(BadInput) as error:
        fill_in({"data": {"ib": text}}, {"A": "1"})
    assert message in str(error.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_message(text):
    try:
        parse_yaml(text)
    except BadInput as error:
        assert str(error)
