# One image; the command picks the process: python -m gateway (the default), python -m evalworker run,
# python -m evalworker drift, python -m sandbox.
FROM python:3.13-slim AS build

WORKDIR /build
COPY requirements/uv.txt requirements/sandbox.txt requirements/emulator.txt requirements/model.txt requirements/
RUN python -m venv /opt/platform \
    && /opt/platform/bin/pip install --no-cache-dir --require-hashes --requirement requirements/uv.txt \
    && VIRTUAL_ENV=/opt/platform /opt/platform/bin/uv pip install --no-cache --require-hashes --requirement requirements/sandbox.txt \
    && VIRTUAL_ENV=/opt/platform /opt/platform/bin/uv pip install --no-cache --require-hashes --no-deps --requirement requirements/model.txt \
    && /opt/platform/bin/uv venv --python /opt/platform/bin/python /opt/platform/emulator \
    && VIRTUAL_ENV=/opt/platform/emulator /opt/platform/bin/uv pip install --no-cache --require-hashes --requirement requirements/emulator.txt
COPY pyproject.toml README.md ./
COPY src src
COPY docs/runbooks docs/runbooks
RUN VIRTUAL_ENV=/opt/platform /opt/platform/bin/uv pip install --no-cache --no-deps --no-build-isolation .

FROM python:3.13-slim

# A volume that is mounted on /state is the user's own from the start.
RUN useradd --system --uid 10001 --create-home platform && install --directory --owner platform /state
COPY --from=build /opt/platform /opt/platform
ENV PATH=/opt/platform/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0
USER platform
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["python", "-m", "gateway"]
