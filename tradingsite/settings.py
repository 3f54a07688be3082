"""Settings from the environment and from a `.env` beside manage.py (or the file that DOTENV names).

What a user changes from day to day is a row, not a setting.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy

from tradingsite.embedded import embedded_queue_url
from tradingsite.logs import LEVELS, STYLES, logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
# Relative paths start beside manage.py, so that processes started from different folders mean the same ones.
environ.Env.read_env(str(BASE_DIR / env.str("DOTENV", default=".env")))

# The state of this installation: database, bar files, runs, uploads, caches, the embedded queue.
VAR_DIR = (BASE_DIR / env.str("VAR_DIR", default="var")).resolve()
VAR_DIR.mkdir(parents=True, exist_ok=True)


def _secret_key() -> str:
    """From SECRET_KEY or SECRET_KEY_FILE; else the one that the first start made in VAR_DIR, readable to its owner."""
    key: str = env.str("SECRET_KEY", default="")
    if not key:
        path = VAR_DIR / "secret_key"
        if not path.exists():
            unnamed = VAR_DIR / f".secret_key.{secrets.token_hex(8)}"
            with os.fdopen(os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
            try:
                os.link(unnamed, path)  # of several processes that start at once, one makes the key
            except FileExistsError:
                pass
            finally:
                unnamed.unlink()
        key = path.read_text().strip()
    if len(key) < 50:
        raise ImproperlyConfigured(
            "SECRET_KEY is shorter than 50 characters; make one with "
            '`python -c "import secrets; print(secrets.token_urlsafe(50))"`.'
        )
    return key


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# Where the web process listens; others than this machine should come through a proxy that speaks TLS.
WEB_BIND = env.str("WEB_BIND", default="127.0.0.1:8000")
# True where browsers reach the site by https: cookies then travel no other way.
HTTPS = env.bool("HTTPS", default=False)

# Whether a proxy stands before the site; one that overwrites X-Forwarded-*, or anybody can write them.
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)

# Log lines on standard error: text or json; without a level, warnings.
LOG_FORMAT = env.str("LOG_FORMAT", default="text").lower()
LOG_LEVEL = env.str("LOG_LEVEL", default="").lower()
if LOG_FORMAT not in STYLES:
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}; it must be {' or '.join(STYLES)}.")
if LOG_LEVEL and LOG_LEVEL not in LEVELS:
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}; it must be one of {', '.join(LEVELS)}.")
LOGGING = logging_config(LOG_FORMAT, LOG_LEVEL)
# What Prometheus shows to read /metrics; without it only this machine and people who may see the health page can.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

INSTALLED_APPS = [
    "unfold",
    # Without its autodiscovery: urls.py loads the admin classes, for the web process alone.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_htmx",
    "axes",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "tradingsite",
    "marketdata",
    "strategies",
    "scanners",
    "execution",
    "reports",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tradingsite.middleware.RequestLog",
    "tradingsite.middleware.Headers",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    # Deny by default: a view that strangers may see says so.
    "tradingsite.middleware.LoginRequired",
    "tradingsite.middleware.SecondFactor",
    "tradingsite.middleware.Storable",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "tradingsite.contentpolicy.allow_alpine",
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
                "reports.pages.layout.layout",
            ]
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN: readers that turn writers then wait instead of failing at once.
    # FULL, since NORMAL may lose the last commits when the power goes, and a lost order intent is a lost order.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        # SQLite lets the waiting ones try again by chance, not in turn: with many writers some wait long.
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
        "options", "-c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=30s"
    )
    DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "tradingsite.formats"
STATIC_URL = "static/"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "tradingsite.staticfinders.PlotlyFinder",
]
# Where `collectstatic` has put the packages' files; without it they are served from the packages themselves.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = STATIC_ROOT is None

# ---- who may come in, and what a browser may do -------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "tradingsite.account.pages.locked_out"
AXES_CLIENT_IP_CALLABLE = "tradingsite.clients.address"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "password", "code", "csrfmiddlewaretoken"]
AXES_ENABLE_ADMIN = False  # ours is registered in the look of the other pages
OTP_TOTP_ISSUER = "ibdesk"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True
SESSION_COOKIE_AGE = 8 * 3600
if HTTPS:  # a neighbour under the same domain cannot set these
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 86_400 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz/"]
SECURE_REFERRER_POLICY = "same-origin"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        # plotly and the admin set styles on elements; styles cannot run code.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# What the admin adds to it on its own pages is in tradingsite/contentpolicy.py.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000
DATA_UPLOAD_MAX_NUMBER_FILES = 20
# A second factor for those who can trade or change limits. Off until devices are enrolled, then put it on.
REQUIRE_OTP = env.bool("REQUIRE_OTP", default=False)
KNOX_TOKEN_MODEL = "tradingsite.ApiToken"  # nosec B105
# Its migrations make the table of its own tokens too, which nothing here uses or empties.
MIGRATION_MODULES = {"knox": None}

# ---- the REST API ------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    # A token first: its header is what a 401 asks for.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tradingsite.access.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tradingsite.access.Permitted"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tradingsite.strictjson.StrictJson"],
    "DEFAULT_THROTTLE_CLASSES": ["tradingsite.access.PersonThrottle", "tradingsite.access.HeavyThrottle"],
    # Counted in each web process by itself. Heavy: bars, coverage, ledgers, uploads, starting backtests.
    "DEFAULT_THROTTLE_RATES": {
        "stranger": env.str("API_RATE_STRANGER", default="60/min"),
        "person": env.str("API_RATE_PERSON", default="1200/min"),
        "heavy": env.str("API_RATE_HEAVY", default="300/min"),
    },
    "DEFAULT_PAGINATION_CLASS": "tradingsite.endpoints.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "tradingsite.problems.handle",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ibdesk",
    "DESCRIPTION": "A self-hosted trading platform for Interactive Brokers.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["tradingsite.access.Permitted"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RunState": "tradingsite.runviews.STATES",
        "LinkState": "tradingsite.linkapi.LINK_STATES",
        "OrderState": "execution.api.ORDER_STATES",
        "ActionKind": "marketdata.api.ACTION_KINDS",
        "AccountKind": "execution.api.ACCOUNT_KINDS",
        "InstrumentKind": "marketdata.api.INSTRUMENT_KINDS",
        "QuestionKind": "marketdata.gatewayapi.QUESTION_KINDS",
        "RunKind": [(name, name) for name in ("barimport", "loadrun", "gatewayquestion", "backtest", "report")],
        "AlertLevel": "reports.api.LEVELS",
        "HaltLevel": "execution.api.HALT_LEVELS",
        "What": "marketdata.models.What.choices",
        "LoadMode": "marketdata.loadapi.ALL_MODES",
        "AskedLoadMode": "marketdata.loadapi.MODES",
        "LoadOutcome": "marketdata.loadapi.OUTCOMES",
        "LoadPriority": "marketdata.loadapi.LOAD_PRIORITIES",
        "FetchState": "marketdata.loadapi.FETCH_STATES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tradingsite.schema.add_problems",
    ],
}
REST_KNOX = {"AUTO_REFRESH": False, "TOKEN_MODEL": KNOX_TOKEN_MODEL}

# ---- the look of the admin ---------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "ibdesk",
    "SITE_HEADER": "ibdesk",
    "SITE_SYMBOL": "candlestick_chart",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "ENVIRONMENT": "execution.admin.environment_badge",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("ibdesk/favicon.svg")}],
    "STYLES": [lambda request: static("ibdesk/admin-desk.css")],
    "ACCOUNT": {"navigation": [{"title": "Account", "link": reverse_lazy("account:overview")}]},
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": "tradingsite.navigation.sidebar"},
}

# ---- work in the background ---------------------------------------------------------------------------------------

# The queue that `manage.py up` starts, unless one is named.
RUN_DIR = VAR_DIR / "run"
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="") or embedded_queue_url(RUN_DIR)
CELERY_BEAT_SCHEDULER = "tradingsite.beat:Scheduler"
# The longest that one backtest may take, in seconds.
BACKTEST_SECONDS = env.int("BACKTEST_SECONDS", default=1_800)
# Of fewer missing bars than this, between bars that are held, none is asked for. 1: all are.
LOAD_SMALLEST_GAP = env.int("LOAD_SMALLEST_GAP", default=1)
# The most memory that one run may take, beside what its process has anyway; 0 sets no limit.
RUN_MEMORY_MB = env.int("RUN_MEMORY_MB", default=4_000)
# What is at the other end: simulated, paper or live. An account of another kind is refused.
TRADING_MODE = env.str("TRADING_MODE", default="simulated")
if TRADING_MODE not in ("simulated", "paper", "live"):
    raise ImproperlyConfigured(f"TRADING_MODE is {TRADING_MODE!r}; it must be simulated, paper or live.")
# The pace of history requests of a login that is new here; later its row in the admin counts.
PACING_AT_FIRST = "off" if TRADING_MODE == "simulated" else "strict"

# ---- the gateway of Interactive Brokers, or the simulated one ------------------------------------------------------


def _one_of(name: str, default: str, known: tuple[str, ...]) -> str:
    text: str = env.str(name, default=default)
    if text not in known:
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be {' or '.join(known)}.")
    return text


def _within(name: str, default: float, least: float, most: float) -> float:
    number: float = env.float(name, default=default)
    if not least <= number <= most:
        raise ImproperlyConfigured(f"{name} is {number:g}; it must be from {least:g} to {most:g}.")
    return number


def _whole(name: str, default: int, least: int, most: int) -> int:
    number: int = env.int(name, default=default)
    if not least <= number <= most:
        raise ImproperlyConfigured(f"{name} is {number}; it must be from {least} to {most}.")
    return number


# Where it listens. IB's ports: gateway 4002 on paper, 4001 live; TWS 7497 on paper, 7496 live.
IB_HOST = env.str("IB_HOST", default="127.0.0.1")
IB_PORT = _whole("IB_PORT", 4002, 1, 65_535)
IB_LIBRARY = _one_of("IB_LIBRARY", "ib_insync", ("ib_insync", "ib_async"))
# The account that is meant, where the login has several; without it the only one.
IB_ACCOUNT = env.str("IB_ACCOUNT", default="")
# True where the gateway takes no orders (Read-Only API): then nothing is asked about orders either.
IB_READ_ONLY = env.bool("IB_READ_ONLY", default=False)
# One fixed number for each role: under a number that is in use the gateway lets nobody else in.
IB_CLIENT_ID_DATA = _whole("IB_CLIENT_ID_DATA", 11, 1, 2_147_483_647)
IB_CLIENT_ID_TRADER = _whole("IB_CLIENT_ID_TRADER", 12, 1, 2_147_483_647)
IB_CLIENT_ID_DOCTOR = _whole("IB_CLIENT_ID_DOCTOR", 13, 1, 2_147_483_647)
if len({IB_CLIENT_ID_DATA, IB_CLIENT_ID_TRADER, IB_CLIENT_ID_DOCTOR}) < 3:
    raise ImproperlyConfigured("IB_CLIENT_ID_DATA, IB_CLIENT_ID_TRADER and IB_CLIENT_ID_DOCTOR must differ.")
# How often the gateway is asked for the time, and how long it may take to answer; two misses end a connection.
IB_HEARTBEAT_SECONDS = _within("IB_HEARTBEAT_SECONDS", 10, 0.1, 300)
IB_HEARTBEAT_DEADLINE_SECONDS = _within("IB_HEARTBEAT_DEADLINE_SECONDS", 5, 0.1, 60)
# How long a request to discover a symbol waits for the data worker's answer; after that it is to be followed.
DISCOVER_WAIT_SECONDS = _within("DISCOVER_WAIT_SECONDS", 5, 0, 30)
# The most requests that one load may make, and how long the API waits for a short one.
LOAD_MAX_REQUESTS = _whole("LOAD_MAX_REQUESTS", 20_000, 1, 1_000_000)
LOAD_WAIT_SECONDS = _within("LOAD_WAIT_SECONDS", 3, 0, 20)
# A connection that has not been ready for so long becomes an alert.
LINK_ALERT_SECONDS = _within("LINK_ALERT_SECONDS", 300, 10, 86_400)

# Where bar files live: a folder, or s3://bucket/prefix (with AWS_ENDPOINT_URL for servers other than Amazon's).
BARS_URL = env.str("BARS_URL", default=str(VAR_DIR / "bars"))
CACHE_DIR = VAR_DIR / "cache"
# Files that one process of this machine holds for as long as it has a role that is for one alone.
LOCKS_DIR = VAR_DIR / "locks"
# What the simulated gateway keeps: orders, executions, positions, cash.
SIMULATOR_DIR = VAR_DIR / "simulator"
RUNS_DIR = VAR_DIR / "runs"
UPLOADS_DIR = VAR_DIR / "uploads"
# A folder of your own strategies and scanners, imported by the registry at start.
PLUGINS_DIR = BASE_DIR / env.str("PLUGINS_DIR", default="plugins")
