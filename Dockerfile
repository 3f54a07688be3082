# One image for every role: `manage.py web` by default, docker-compose.yml names the others.
FROM python:3.13.14-slim-bookworm

# 10001: no user of the host has it, so a file that leaks out of a volume belongs to nobody there.
RUN useradd --system --user-group --uid 10001 --home-dir /var/lib/ibdesk --shell /usr/sbin/nologin ibdesk

WORKDIR /srv/ibdesk

# Wheels only: they exist for amd64 and arm64, so no compiler is needed and no package's build script runs here.
COPY requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --no-deps --require-hashes --requirement requirements/runtime.txt

COPY manage.py ./
COPY domain domain
COPY gateway gateway
COPY tradingsite tradingsite
COPY marketdata marketdata
COPY strategies strategies
COPY scanners scanners
COPY execution execution
COPY reports reports
COPY templates templates

ENV DEBUG=false \
    HOME=/tmp \
    PLUGINS_DIR=/plugins \
    PYTHONUNBUFFERED=1 \
    STATIC_ROOT=/srv/ibdesk/static \
    VAR_DIR=/var/lib/ibdesk \
    WEB_BIND=0.0.0.0:8000

# The code stays root's, the state's folders are the user's: a volume mounted on one of them takes its owner over.
# The static files stay in the image (a volume would keep those of the first version for ever), and the key that
# collecting them asks for is thrown away with its command. Compiling now saves each start on a read-only system.
RUN install --directory --owner=ibdesk --group=ibdesk \
      "$VAR_DIR/bars" "$VAR_DIR/cache" "$VAR_DIR/locks" "$VAR_DIR/runs" "$VAR_DIR/simulator" "$VAR_DIR/uploads" \
      "$PLUGINS_DIR" \
    && SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
      python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q .

USER ibdesk
EXPOSE 8000
ENTRYPOINT ["python", "manage.py"]
CMD ["web"]
