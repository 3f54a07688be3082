import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from tradingsite.configfile import MAX_BYTES, MAX_DEPTH, fill_in, parse_yaml, read_config, to_yaml


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
        ("x: 1\ny: !!timestamp soon", "line 2: tags such as tag:yaml.org,2002:timestamp are not allowed"),
        ("x: ! 1", "line 1: tags such as ! are not allowed"),
        ("x: 2\n1: 2", "line 2: a name must be a text"),
        ("? [a]\n: 1", "line 1: a name must be a text"),
        ("a: [1", "line 1"),
        ("a: 1\n---\nb: 2", "another document"),
        ("- a\n- b", "holds no settings"),
        ("", "holds no settings"),
        ("a: 1\nsymbols: [${SYM}]\n", "line 2: expected ',' or ']', but got '{'; put the ${…} in quotes"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 16"),
        ("a: \x01", "is not YAML"),
        ("a: 1\nb: " + "9" * 5_000, "line 2: a number of too many digits"),
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


def test_a_text_longer_than_any_config_is_not_even_parsed():
    with pytest.raises(BadInput, match="longer than 64 Ki"):
        parse_yaml("[" * (MAX_BYTES + 1))


AMBIGUOUS = ["ON", "NO", "Y", "2020-01-01", "1e5", "TRUE", "1_000", "0700", "12:30", "~", "", "null", ".inf", "=", "<<"]
TEXTS = st.sampled_from([*AMBIGUOUS, "long " * 50]) | st.text(max_size=30)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_is_written_is_read_back_the_same(value):
    text = to_yaml(value)
    assert repr(parse_yaml(text)) == repr(value)  # repr: 1 is not 1.0 or true, -0.0 not 0.0, and order counts


@given(TEXTS)
def test_a_text_stays_one_for_every_other_reader_too(value):
    assert yaml.safe_load(to_yaml({"symbol": value})) == {"symbol": value}


def test_it_is_written_as_a_person_would_and_without_anchors():
    part = {"fast": 5, "symbols": ["SPY", "ON"]}
    assert to_yaml({"b": 0.5, "a": part}) == "b: 0.5\na:\n  fast: 5\n  symbols:\n  - SPY\n  - 'ON'\n"
    assert "&" not in to_yaml({"x": part, "y": part})
    assert to_yaml("SPY") == "SPY\n"
    assert to_yaml(["Größe", "a\u202eb", "a\x85b"]) == '- Größe\n- "a\\u202Eb"\n- "a\\Nb"\n'


def test_what_is_no_json_is_refused():
    deep = "x"
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert parse_yaml(to_yaml(deep)) == deep
    for value in (float("nan"), [float("inf")], {1: 2}, {"a": object()}, 10**5_000, [deep]):
        with pytest.raises(BadInput):
            to_yaml(value)
