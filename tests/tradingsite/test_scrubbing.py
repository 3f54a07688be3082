"""Secrets go, the rest of the text stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tradingsite import scrubbing
from tradingsite.scrubbing import MASK, is_secret_name, scrub, scrub_text

CANARY = "c4n4ry-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def _known_anew():
    scrubbing._known_values.cache_clear()
    yield
    scrubbing._known_values.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        f"password={CANARY}",
        f"password: '{CANARY} with spaces'",
        f"PGPASSWORD={CANARY} psql",
        f'{{"api_key": "{CANARY}"}}',
        f"{{'broker_password': '{CANARY}'}}",
        f"GET /api/v1/bars?token={CANARY}&symbol=AAPL",
        f"GET /x?key={CANARY}",
        f"Authorization: Token {CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"{{'Authorization': 'Token {CANARY}'}}",
        f"sent Bearer {CANARY}",
        f"Cookie: theme=dark; sessionid={CANARY}; other={CANARY}",
        f"postgres://desk:{CANARY}@db.example.org:5432/desk",
        f"redis://:{CANARY}@localhost/0",
        f"rediss://user:{CANARY}@host",
        f"csrfmiddlewaretoken={CANARY}",
        f"secret_key = {CANARY}",
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text):
    clean = scrub_text(text)
    assert CANARY not in clean
    assert MASK in clean


@pytest.mark.parametrize(
    "text",
    [
        "run 6f1c: started strategy=ma_crossover config_hash=ab12 data_hash=cd34",
        "effect_key backtest:7",
        "Not Found: /api/v1/tokens/",
        "postgres://desk@db.example.org:5432/desk does not answer",
        "CSRF token missing.",
        "Token verification failed",
        "KeyError: 'token'",
        "http://127.0.0.1:8000/instruments/AAPL/?timeframe=1d",
        "keyboard=qwerty monkey=1",
    ],
)
def test_what_is_no_secret_stays(text):
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"postgres://desk:{CANARY}@db/desk"),
        ("CELERY_BROKER_URL", f"redis://:{CANARY}@queue/0"),
        ("AWS_SECRET_ACCESS_KEY", CANARY),
        ("METRICS_TOKEN", CANARY),
        ("SOMETHING_PASSWORD", CANARY),
    ],
)
def test_a_secret_of_the_environment_is_known_wherever_it_stands(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert scrub_text(f"it said {CANARY} and went on") == f"it said {MASK} and went on"


def test_a_password_that_an_address_has_to_quote_is_known_in_both_spellings(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://desk:p%40ss%2Fword%21long@db/desk")
    assert scrub_text("a p@ss/word!long b p%40ss%2Fword%21long c") == f"a {MASK} b {MASK} c"


def test_the_key_of_the_site_is_known(settings):
    assert scrub_text(f"x {settings.SECRET_KEY} y") == f"x {MASK} y"


def test_values_inside_mappings_and_lists_go_by_their_names():
    held = {"user": "vera", "password": CANARY, "deep": [{"token": CANARY}, ("x", f"secret={CANARY}")], "n": 3}
    assert scrub(held) == {"user": "vera", "password": MASK, "deep": [{"token": MASK}, ["x", f"secret={MASK}"]], "n": 3}


def test_an_object_is_known_by_its_text():
    class Login:
        def __str__(self) -> str:
            return f"Login(password='{CANARY}')"

    assert CANARY not in scrub(Login())
    assert CANARY not in str(scrub({"login": Login()}))


@pytest.mark.parametrize("name", ["key", "api_key", "DB_PASSWORD", "x-auth-token", "client_secret", "Authorization"])
def test_names_that_mean_a_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["effect_key", "intent_key", "keyboard", "monkey", "user", "run_id"])
def test_names_that_mean_none(name):
    assert not is_secret_name(name)


@given(st.text(max_size=200), st.sampled_from(["password", "token", "secret", "api_key"]), st.text(max_size=50))
@example("", "password", "'")
def test_a_marked_secret_never_survives_among_any_text(before, name, after):
    assert CANARY not in scrub_text(f"{before} {name}={CANARY} {after}")


@pytest.mark.parametrize(
    "part",
    ["a", "token", "password-", "a.", "token ", "token  '", "password='", "Token 1", "x://", "cookie", "key=", "://a:"],
)
def test_no_text_keeps_the_log_busy(part):
    """With a pattern that looks back over what it has read, the longest of these took minutes."""
    text = part * (20_000 // len(part))
    assert len(scrub_text(text)) > 0
