# docker build -t consumer .
# docker run --rm consumer start s3 --set s3.bucket=my-bucket
#
# BASE needs Python 3.13 with venv; PIP_INDEX_URL names another package index. The image runs as user 10001 on a read-only
# root file system and writes to /var/lib/consumer only (--read-only; --tmpfs or -v for that directory are optional).
# A tag is moved with every release, a digest stays: docs/ecs.md says how to go on to a newer one.
ARG BASE=python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
WORKDIR /opt/consumer
# What is made depends on these files alone, so a change of Python code does not install anew. uv and the C compiler are
# fetched, and gone at the end of the step.
COPY requirements requirements
COPY bin/setup bin/_setup.py bin/
COPY consumer/native/*.[ch] consumer/native/sources.py consumer/native/
COPY training/__init__.py training/
RUN bin/setup --runtime
COPY properties properties
COPY consumer consumer
COPY training training
# Runs the KCL on prepared records, for the AOT cache with which the JVM starts warm. With that the set-up is done.
RUN bin/setup --runtime && rm -r bin training && .venv/bin/python -m compileall -q consumer

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/consumer --shell /usr/sbin/nologin consumer \
    && install -d -o consumer -g consumer -m 0750 /var/lib/consumer
COPY --from=build /opt/consumer /opt/consumer
WORKDIR /opt/consumer
# The code was compiled above; nothing could be written beside it.
ENV PATH=/opt/consumer/.venv/bin:$PATH \
    PYTHONPATH=/opt/consumer \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/var/lib/consumer \
    CONSUMER_SET_WORKER__STATE_DIR=/var/lib/consumer
USER 10001:10001
# With this, a volume there belongs to the user, on ECS too.
VOLUME ["/var/lib/consumer"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=3 \
    CMD ["/opt/consumer/.venv/bin/python", "-m", "consumer", "health"]
ENTRYPOINT ["/opt/consumer/.venv/bin/python", "-m", "consumer"]
CMD ["--help"]
