"""Settings from the environment and from a `.env` beside manage.py (or the file that DOTENV names).

What a user changes from day to day is a row, not a setting.
"""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
environ.Env.read_env(env.str("DOTENV", default=str(BASE_DIR / ".env")))

_MAKE_A_KEY = 'make one with `python -c "import secrets; print(secrets.token_urlsafe(50))"`'


def _secret_key() -> str:
    """From SECRET_KEY or SECRET_KEY_FILE; only a debugging server may go without."""
    key: str = env.str("SECRET_KEY", default="")
    if key:
        if not DEBUG and len(key) < 50:
            raise ImproperlyConfigured(f"SECRET_KEY is shorter than 50 characters; {_MAKE_A_KEY}.")
        return key
    if DEBUG:
        return "for-development-on-this-machine-only-not-a-secret-at-all"
    raise ImproperlyConfigured(f"DEBUG is off and SECRET_KEY is not set; {_MAKE_A_KEY} and put it into .env.")


# The state of this installation: database, bar files, runs, caches.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var"))).resolve()

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_celery_beat",
    "marketdata",
    "strategies",
    "scanners",
    "execution",
    "reports",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "tradingsite.urls"
WSGI_APPLICATION = "tradingsite.wsgi.application"
ASGI_APPLICATION = "tradingsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

VAR_DIR.mkdir(parents=True, exist_ok=True)
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN: readers that turn writers then wait instead of failing at once.
    # FULL, since NORMAL may lose the last commits when the power goes, and a lost order intent is a lost order.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"

# Where bar files live: a folder, or s3://bucket/prefix (with AWS_ENDPOINT_URL for servers other than Amazon's).
BARS_URL = env.str("BARS_URL", default=str(VAR_DIR / "bars"))
CACHE_DIR = VAR_DIR / "cache"
RUNS_DIR = VAR_DIR / "runs"
# A folder of your own strategies and scanners, imported by the registry at start.
PLUGINS_DIR = Path(env.str("PLUGINS_DIR", default=str(BASE_DIR / "plugins")))
