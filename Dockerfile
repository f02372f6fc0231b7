# syntax=docker/dockerfile:1.12
#
# tierlift itself:
#   docker build --tag tierlift:0.1.0 .
#   docker run --rm --read-only --tmpfs /tmp --volume "$PWD:/data" --user "$(id -u):$(id -g)" tierlift:0.1.0 tiers
#
# The programs of PostgreSQL that it reads a schema with (`pg_dump`, `pg_restore`) are not in it, because they must be at
# least as new as the servers: mount their folder, or build on this image, and name it in TIERLIFT_PG_BIN.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# What is built from stays out of the image: only the program is copied out of the cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tierlift --bin tierlift \
    && install -m 0755 target/release/tierlift /usr/local/bin/tierlift

FROM debian:bookworm-20251117-slim
# tini is process 1: it passes signals on and takes in orphans, such as a pg_dump whose run was killed.
RUN apt-get update \
    && apt-get install -y --no-install-recommends 'ca-certificates=20230311*' 'tini=0.19.*' \
    && rm -rf /var/lib/apt/lists/*
# Given by who builds it, for whoever finds the image: --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)"
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tierlift" \
      org.opencontainers.image.description="Moves an application up or down an infrastructure tier, verified and undoable" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /usr/local/bin/tierlift /usr/local/bin/tierlift
# The systems and their tiers, which may be replaced by mounting others over them.
COPY playbooks /usr/share/tierlift/playbooks
ENV TIERLIFT_PLAYBOOKS=/usr/share/tierlift/playbooks
# Runs, journals and plans are written below it: mount a folder that is kept.
WORKDIR /data
# A number, because Kubernetes can't tell from a name that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
# It runs until its work is done and serves nothing; what can be asked is whether it starts.
HEALTHCHECK --interval=60s --timeout=5s --retries=3 CMD ["tierlift", "--version"]
ENTRYPOINT ["/usr/bin/tini", "--", "tierlift"]
CMD ["--help"]
