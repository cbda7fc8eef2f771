ARG PYTHON_VERSION=3.13

# The builder follows uv.lock. Slim images have no compiler, so every part comes as a ready wheel or
# as pure Python.
FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/polybackfill \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
RUN pip install --no-cache-dir "uv>=0.13,<1"
WORKDIR /build
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-install-project --no-cache
COPY src ./src
RUN uv sync --locked --no-dev --no-editable --no-cache

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN useradd --system --uid 10001 --create-home --shell /usr/sbin/nologin polybackfill \
    && install -d -o polybackfill -g polybackfill -m 0750 /data /checkpoints
COPY --from=build /opt/polybackfill /opt/polybackfill
# glibc gives memory back with few arenas only.
ENV PATH=/opt/polybackfill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    BACKFILL_DATA_DIR=/data \
    BACKFILL_CHECKPOINT_DIR=/checkpoints
USER polybackfill
WORKDIR /home/polybackfill
VOLUME ["/data", "/checkpoints"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=15s --start-period=60s --retries=3 \
    CMD ["polybackfill", "status", "--health"]
ENTRYPOINT ["polybackfill"]
# Everything, or the planned list where there is one.
CMD ["run"]
