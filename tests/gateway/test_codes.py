import re

import pytest

from gateway.codes import MEANINGS, NO_DATA, Family, error_of, meaning
from gateway.errors import NotReady, OperatorNeeded, Refused, TryLater

HMDS = "Historical Market Data Service error message:"
# Every code that the specification's tables name, and where the caller goes from there.
KNOWN = (
    *(1100, 1101, 1102, 2110, 1300, 2103, 2105, 2157, 2104, 2106, 2158, 2107, 2108, 2100, 2101, 326, 100, 0, 200),
    *(162, 165, 366, 10182, 10314, 2174, 321, 322, 102, 300, 101, 354, 10168, 10089, 10090, 10091, 10167, 10186),
    *(10197, 10225, 430, 10358, 10172, 103, 104, 105, 110, 434, 387, 388, 463, 201, 203, 460, 436, 202, 399, 404),
    *(2109, 2161, 10311, 10349, 135, 136, 161, 10147, 10148, 481, 420),
)


@pytest.mark.parametrize("code", KNOWN)
def test_every_code_of_the_specification_is_in_the_table_with_words(code):
    assert MEANINGS[code].words


@pytest.mark.parametrize(
    ("text", "family"),
    [
        (f"{HMDS}HMDS query returned no data: AAPL@SMART Trades", Family.NOTE),
        (f"{HMDS}Historical data request pacing violation", Family.RETRY),
        (f"{HMDS}API historical data query cancelled: 28", Family.NOTE),
        (f"{HMDS}No market data permissions for ISLAND STK", Family.REJECT),
        (f"{HMDS}Trading TWS session is connected from a different IP address", Family.RETRY),
        (f"{HMDS}something else", Family.RETRY),
    ],
)
def test_the_text_decides_what_162_means(text, family):
    assert meaning(162, text).family is family


def test_no_data_is_proof_only_while_the_farm_is_up():
    text = "HMDS query returned no data"
    assert meaning(162, text).words == NO_DATA
    assert meaning(162, text, farm_down=True).family is Family.RETRY
    assert meaning(200, "No security definition", farm_down=True).family is Family.RETRY
    assert meaning(201, "rejected", farm_down=True).family is Family.REJECT


@pytest.mark.parametrize("code", [399, 404, 2109, 2161, 10311, 10349, 202, 2104])
def test_what_leaves_an_order_alive_is_a_note(code):
    assert meaning(code).family is Family.NOTE


@pytest.mark.parametrize(("code", "family"), [(2199, "note"), (1199, "wait"), (99999, "reject"), (-5, "reject")])
def test_an_unknown_code_has_a_stated_family(code, family):
    found = meaning(code, "whatever")
    assert found.code == code
    assert found.family == family


def test_a_read_only_api_is_for_a_person_to_change():
    text = "Error validating request.-'bH' : cause - The API interface is currently in Read-Only mode."
    assert meaning(321, text).family is Family.FATAL
    assert meaning(321, "Error validating request").family is Family.REJECT


@pytest.mark.parametrize(
    ("code", "kind"), [(1100, NotReady), (101, TryLater), (201, Refused), (1300, OperatorNeeded), (99999, Refused)]
)
def test_the_family_chooses_the_error(code, kind):
    error = error_of(meaning(code), "as IB said it")
    assert type(error) is kind
    assert error.code == code
    assert "as IB said it" in error.words


def test_words_are_plain_and_short():
    for found in MEANINGS.values():
        assert len(found.words) < 80, found
        assert not re.search(r"[A-Z]{5,}", found.words), found
