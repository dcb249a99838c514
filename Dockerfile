# syntax=docker/dockerfile:1

# The Python that every test runs on. Both stages must have the same one, for the first one's folder names it.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS builder
# requirements-otel.lock: with what traces need.
ARG REQUIREMENTS=requirements.lock
WORKDIR /build
COPY deploy/build.sh deploy/build.sh
COPY ${REQUIREMENTS} requirements.lock
RUN deploy/build.sh requirements /opt/fallthrough
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN deploy/build.sh program /opt/fallthrough

FROM ${PYTHON}
COPY --from=builder /opt/fallthrough /opt/fallthrough
# A number, so that a cluster can see that it is not root; a name, so that acts in the ledger have one.
RUN echo 'fallthrough:x:65532:65532::/var/lib/fallthrough:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'fallthrough:x:65532:' >> /etc/group \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/fallthrough
USER 65532:65532
# Ledger and keys lie here; nothing else is written, so that the root file system can be read-only.
WORKDIR /var/lib/fallthrough
VOLUME /var/lib/fallthrough
# Used only where no --config is given: a file says all of this itself.
ENV PATH=/opt/fallthrough/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FALLTHROUGH_LISTEN=0.0.0.0:8080 \
    FALLTHROUGH_PROBES=0.0.0.0:8082 \
    FALLTHROUGH_LEDGER=sqlite:////var/lib/fallthrough/ledger.db
EXPOSE 8080 8082
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s \
    CMD ["fallthrough", "health", "--url", "http://127.0.0.1:8082/readyz"]
ENTRYPOINT ["fallthrough"]
CMD ["serve"]
