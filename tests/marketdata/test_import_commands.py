"""The exit codes of `import_bars` and `import_actions`: 2 for the options, 1 for the files, 0 done."""

import re

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from marketdata.models import Instrument
from tests.marketdata import make
from tests.marketdata.test_importing import DAYS, MINUTES

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--symbol ../x", "'../x' is not a symbol"),
        ("--timeframe 7m", "unknown timeframe '7m'"),
        ("--exchange NYSEE", "unknown exchange 'NYSEE'; did you mean 'NYSE'"),
        ("--symbol ABC --exchange NYSEE", "unknown exchange 'NYSEE'; did you mean 'NYSE'"),
        ("--currency dollars", "currency: "),
        ("--calendar XNYC", "unknown calendar 'XNYC'; did you mean 'XNYS'"),
        ("--symbol HELD --calendar XLON", "HELD is on calendar XNYS, not XLON"),
        ("--columns opn=Open", "unknown field in --columns: 'opn'; did you mean 'open'"),
        ("--columns open", "columns wants field=column pairs"),
        ("--tz America/NewYork", "'America/NewYork' is no time zone"),
        ("--since yesterday", "'yesterday' is no date; write 2013-10-07"),
        ("--since NaT", "'NaT' is no date"),
        ("--since 2014-01-02 --until 2014-01-01", "--since 2014-01-02 is after --until 2014-01-01"),
        ("--derive-actions ex_close --adjustment split", "--derive-actions needs raw daily bars"),
        ("--derive-actions ex_close --timeframe 1h", "--derive-actions needs raw daily bars"),
    ],
)
def test_an_option_that_cannot_be_right_ends_with_2_before_a_file_is_opened(tmp_path, words, message):
    make.instrument("HELD", exchange="NYSE", calendar="XNYS")
    with pytest.raises(CommandError, match=re.escape(message)) as wrong:
        call_command("import_bars", str(tmp_path / "absent.csv"), *words.split())
    assert wrong.value.returncode == 2
    assert "absent.csv" not in str(wrong.value)


@pytest.mark.parametrize("words", ["--symbol a;b", "--exchange NYSEE", "--symbol SPY --exchange NYSEE"])
def test_wrong_options_for_actions_end_with_2_and_a_refused_file_with_1(tmp_path, words):
    for options, code in ((words.split(), 2), ([], 1), (["--symbol", "SPY"], 1)):
        with pytest.raises(CommandError) as failed:
            call_command("import_actions", str(tmp_path / "absent.csv"), *options)
        assert failed.value.returncode == code
        assert ("there is no such file" in str(failed.value)) == (code == 1)


def test_what_is_wrong_with_a_file_ends_with_1_though_its_options_fit(give, bars_root, capsys):
    for text, words, message in (
        (DAYS, "--columns open=Opening", "unknown column 'Opening'"),
        (MINUTES.replace("Z", ""), "", "the times have no zone"),
        (DAYS, "--until 2013-01-01", "outside --since and --until"),
    ):
        with pytest.raises(CommandError, match=message) as failed:
            call_command("import_bars", str(give(text)), *words.split())
        assert failed.value.returncode == 1
    bars_root.write_text("a file where the folder should be")
    with pytest.raises(CommandError, match="cannot write bars to") as failed:
        call_command("import_bars", str(give(DAYS)))
    assert failed.value.returncode == 1


def test_an_exchange_without_a_calendar_needs_one_only_the_first_time(give):
    call_command("import_bars", str(give(DAYS)), "--exchange", "ODD", "--calendar", "XNYS", "--json")
    call_command("import_bars", str(give(DAYS)), "--exchange", "ODD", "--json")
    assert [row.exchange for row in Instrument.objects.all()] == ["ODD"]
