#!/usr/bin/env bash
# Puts ibdesk's units into systemd: creates the user, the environment file and the plugins' folder where they are
# missing, copies the units, enables the target. Running it again changes only what differs. Starts nothing.
set -euo pipefail

usage="usage: sudo deploy/systemd/install.sh [--dry-run]"
units="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
checkout="$(cd "$units/../.." && pwd)"
home=/opt/ibdesk
state=/var/lib/ibdesk
environment=/etc/ibdesk/env
target=/etc/systemd/system
dry=

case "$*" in
  "") ;;
  --dry-run) dry=yes ;;
  --help | -h) echo "$usage"; exit ;;
  *) echo "$usage" >&2; exit 2 ;;
esac

# run COMMAND…: print it, and do it unless this is a dry run.
run() {
  printf '+'; printf ' %q' "$@"; printf '\n'
  if [ -z "$dry" ]; then "$@"; fi
}

# must_be_true MESSAGE COMMAND…: stop with the message where the command fails; a dry run only says so.
must_be_true() {
  local message=$1
  shift
  if "$@"; then return; fi
  if [ -n "$dry" ]; then echo "would stop: $message"; return; fi
  echo "$message" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }
is_at_home() { [ "$checkout" = "$home" ]; }
has_python() { [ -x "$home/.venv/bin/python" ]; }
has_systemd() { [ -d /run/systemd/system ]; }

must_be_true "install.sh writes to $target: run it with sudo." is_root
must_be_true "The units expect the checkout at $home, this one is at $checkout: clone it there." is_at_home
must_be_true "$home/.venv/bin/python is missing: make the environment first (docs/deployment.md)." has_python
must_be_true "systemd does not run this machine: use docker-compose.yml." has_systemd

if ! getent passwd ibdesk > /dev/null; then
  run useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin ibdesk
fi
run install --directory --mode=0750 --owner=ibdesk --group=ibdesk "$state" "$state/plugins"

write_environment() {
  local key
  key="$("$home/.venv/bin/python" -c 'import secrets; print(secrets.token_urlsafe(50))')"
  install --directory --mode=0750 --owner=root --group=ibdesk "$(dirname "$environment")"
  install --mode=0640 --owner=root --group=ibdesk /dev/null "$environment"
  cat > "$environment" << END
# Read by every unit of ibdesk and, with DOTENV=$environment, by manage.py. $home/.env.example explains the names.
DEBUG=false
SECRET_KEY=$key
ALLOWED_HOSTS=localhost,127.0.0.1
VAR_DIR=$state
PLUGINS_DIR=$state/plugins
CELERY_BROKER_URL=redis://127.0.0.1:6379/0
END
}
# An environment that exists is somebody's, with the key that signed the sessions: it stays.
if [ ! -e "$environment" ]; then run write_environment; fi

for unit in "$units"/ibdesk*.service "$units"/ibdesk.target; do
  run install --compare --mode=0644 "$unit" "$target/$(basename "$unit")"
done
run install --directory --mode=0755 "$target/ibdesk-.service.d"
run install --compare --mode=0644 "$units/ibdesk-.service.d/10-sandbox.conf" "$target/ibdesk-.service.d/10-sandbox.conf"
run systemctl daemon-reload
run systemctl enable ibdesk.target

echo "Look through $environment, then: sudo systemctl start ibdesk.target"
