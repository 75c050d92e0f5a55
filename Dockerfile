# The build stage is the whole Python image, compiler and headers included; nothing of it but /opt/llm-router is shipped.
ARG PYTHON=3.11
# run: what every router needs; extras: with aws, azure, otel and tokens, 150 MB more.
ARG LOCK=run
# 1: the request path as machine code, from the same source (docs/compiled.md); 0: as it is.
ARG COMPILE=1
FROM python:${PYTHON}-bookworm AS build
ARG LOCK
ARG COMPILE
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/llm-router && python -m venv --without-pip /opt/build
COPY requirements/compile.txt requirements/extras.txt requirements/run.txt requirements/
RUN python -m pip --python /opt/llm-router/bin/python install --require-hashes -r "requirements/${LOCK}.txt" \
    && python -m pip --python /opt/build/bin/python install --require-hashes -r requirements/run.txt -r requirements/compile.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY router router
RUN LLM_ROUTER_COMPILE=${COMPILE} python -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /opt/build/wheels . \
    && python -m pip --python /opt/llm-router/bin/python install --no-deps /opt/build/wheels/*.whl

FROM python:${PYTHON}-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore pip setuptools wheel
COPY --from=build /opt/llm-router /opt/llm-router
COPY router.yaml /etc/llm-router/router.yaml
# Reached from outside its container, the router needs keys: ROUTER__AUTH__MASTER_KEY, or a router.yaml that has some.
ENV PATH=/opt/llm-router/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ROUTER_CONFIG=/etc/llm-router/router.yaml \
    ROUTER__SERVER__HOST=0.0.0.0 \
    ROUTER__SERVER__PORT=4000
USER 65532:65532
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"ROUTER__SERVER__PORT\"]}/health/ready', timeout=2)"]
ENTRYPOINT ["llm-router"]
CMD ["serve"]
