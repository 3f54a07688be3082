"""The site's settings on a state folder of this test process's own, so that no test sees or harms a real one.

Commands that a test starts inherit the folder through the environment. Each xdist worker has another one.
"""

import atexit
import os
import shutil
import tempfile

state = tempfile.mkdtemp(prefix="ibdesk-tests-")
atexit.register(shutil.rmtree, state, ignore_errors=True)

for name in ("BARS_URL", "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"):
    os.environ.pop(name, None)
os.environ["DOTENV"] = os.devnull
os.environ["VAR_DIR"] = state
os.environ["PLUGINS_DIR"] = f"{state}/plugins"
os.environ["DJANGO_SETTINGS_MODULE"] = "tradingsite.settings"
# Throttles count in the cache of the process, over the tests; those that try them set rates of their own.
for name in ("STRANGER", "PERSON", "HEAVY"):
    os.environ[f"API_RATE_{name}"] = "1000000/min"

from tradingsite.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":  # noqa: F405
    # A test is one transaction, and may think for longer than a request in it.
    DATABASES["default"]["OPTIONS"]["options"] += " -c idle_in_transaction_session_timeout=0"  # noqa: F405

# As against a real gateway; tests that are not about the pace switch it off.
PACING_AT_FIRST = "strict"
