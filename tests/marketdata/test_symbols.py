import pytest
from hypothesis import example, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from domain.errors import BadInput
from marketdata.models import Instrument
from marketdata.symbols import MAX_BYTES, MAX_SYMBOLS, read_file, read_symbols, show_symbols
from tests.marketdata.make import instrument


def symbols(found) -> list[str]:
    return [each.symbol for each in found]


@pytest.fixture
def known(db) -> list[Instrument]:
    return [instrument(symbol) for symbol in ("SPY", "QQQ", "AAPL", "BRK B")]


@pytest.mark.parametrize(
    "text",
    [
        "QQQ,SPY,BRK B",
        "QQQ; SPY;BRK B",
        "QQQ\nSPY\r\nBRK B\n",
        "QQQ\tSPY\tBRK B",
        " QQQ | SPY | BRK B ",
        "QQQ SPY\nBRK B",
    ],
)
def test_symbols_are_read_in_their_order_whatever_stands_between_them(known, text):
    assert symbols(read_symbols(text)) == ["QQQ", "SPY", "BRK B"]


def test_a_symbol_given_twice_counts_once_and_small_letters_will_do(known):
    assert symbols(read_symbols("spy, SPY qqq")) == ["SPY", "QQQ"]


def test_nothing_is_an_empty_list(known):
    assert read_symbols(" \n ,, ; ") == []


def test_all_unknown_symbols_are_named_with_suggestions(known):
    with pytest.raises(BadInput) as error:
        read_symbols("SPY, APPL, QQQQ")
    assert "'APPL'; did you mean 'AAPL'?" in str(error.value)
    assert "'QQQQ'; did you mean 'QQQ'?" in str(error.value)


def test_of_many_unknown_symbols_the_first_are_named_and_the_rest_counted(known):
    with pytest.raises(BadInput, match=r"and 40 more$"):
        read_symbols(" ".join(f"X{number}" for number in range(50)))


def test_the_exchange_tells_listings_apart(known):
    instrument("DUAL", exchange="NYSE")
    instrument("DUAL", exchange="LSE", currency="GBP")
    with pytest.raises(BadInput, match="write DUAL@LSE or DUAL@NYSE"):
        read_symbols("DUAL")
    assert read_symbols("DUAL@lse")[0].currency == "GBP"


def test_an_inactive_instrument_is_found_where_no_active_one_has_its_symbol(known):
    old = instrument("OLD", active=False)
    assert read_symbols("OLD") == [old]
    new = instrument("OLD")
    assert read_symbols("OLD") == [new]


def test_any_list_is_shown_as_it_is_read_again(known):
    same = [
        instrument("DUAL", exchange="NYSE"),
        instrument("DUAL", exchange="LSE", currency="GBP"),
        instrument("DUAL", exchange="LSE", active=False, currency="GBP"),
        instrument("A B", exchange="LSE"),
        instrument("A B", exchange="NYSE"),
        instrument("GONE", active=False),
    ]
    members = [*reversed(same), *known]
    assert read_symbols(show_symbols(members)) == members


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("list.csv", b"symbol,name\nQQQ,Invesco\nSPY,SPDR\n"),
        ("list.csv", b"Name;Ticker\r\nInvesco;QQQ\r\nSPDR;SPY\r\n"),
        ("list.csv", b"QQQ\nSPY\n"),
        ("list.csv", b"\xef\xbb\xbfSymbol\nQQQ\n\nSPY\n"),
        ("list.txt", b"QQQ\tInvesco\nSPY\tSPDR\n"),
        ("list.yaml", b"[QQQ, SPY]"),
        ("list.yml", b"symbols:\n- QQQ\n- SPY\n"),
        ("list.YAML", b"name: etf\ninstruments: [QQQ, SPY]\n"),
    ],
)
def test_files_are_read(known, name, data):
    assert symbols(read_file(name, data)) == ["QQQ", "SPY"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xff\xfe\x00", "UTF-8"),
        ("a.csv", b"x" * (MAX_BYTES + 1), "larger than"),
        ("a.csv", b"SPY\n" * 3 + b"NOPE\n", "NOPE"),
        ("a.yaml", b"{", "a.yaml: line 1"),
        ("a.yaml", b"a: b", "expected a list of symbols"),
        ("a.yaml", b"[[SPY]]", "expected a list of symbols"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(known, name, data, message):
    with pytest.raises(BadInput, match=message):
        read_file(name, data)


def test_a_list_of_more_than_it_may_hold_is_refused(known):
    with pytest.raises(BadInput, match="may hold 5,000"):
        read_symbols(" ".join(f"X{number}" for number in range(MAX_SYMBOLS + 1)))


class AnyText(TestCase):
    def setUp(self) -> None:
        for symbol in ("SPY", "BRK B"):
            Instrument.objects.create(symbol=symbol)

    @bounded(max_examples=150)
    @example("@", b"\0")
    @example("#", b'"')
    @given(st.text(st.sampled_from("SPY BRK@#,;|\n\t\0é'\"=")), st.binary(max_size=60))
    def test_is_a_list_or_refused_and_never_an_accident(self, text, data):
        for read in (lambda: read_symbols(text), lambda: read_file("a.csv", data), lambda: read_file("a.yaml", data)):
            try:
                assert all(isinstance(each, Instrument) for each in read())
            except BadInput as error:
                assert str(error)
