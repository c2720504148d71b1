# syntax=docker/dockerfile:1
# kstate and the example processors, as a user without rights.  docs/containers.md tells the rest.

ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY kstate kstate
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --no-deps --wheel-dir dist . \
    && python -m venv --without-pip /opt/kstate
# extras of pyproject.toml: rocksdb, immutables, pyrsistent, registry, projections, postgresql
ARG EXTRAS=""
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/kstate install "$(echo dist/*.whl)${EXTRAS:+[${EXTRAS}]}"


FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="kstate" \
      org.opencontainers.image.description="Persistent processes on Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"

# The number is fixed: volumes remember it, and not the name.
RUN groupadd --gid 10001 kstate \
    && useradd --uid 10001 --gid kstate --no-create-home --home-dir /var/lib/kstate \
        --shell /usr/sbin/nologin kstate \
    && install --directory --owner=kstate --group=kstate --mode=0750 /var/lib/kstate

COPY --from=build /opt/kstate /opt/kstate
WORKDIR /srv/kstate
COPY processors processors
COPY schemas schemas

ENV PATH="/opt/kstate/bin:${PATH}" \
    KSTATE_DATA=/var/lib/kstate \
    KSTATE_LOG=sqlite:/var/lib/kstate/kstate.db \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
VOLUME ["/var/lib/kstate"]
STOPSIGNAL SIGTERM
# no shell in between: it would keep the signal for itself
ENTRYPOINT ["kstate"]
CMD ["--help"]
