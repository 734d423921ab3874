# syntax=docker/dockerfile:1
FROM rust:1.95.0-bookworm AS build
# The image's own toolchain; without this rustup would add the components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin proximadb-server \
    && cp /target/release/proximadb-server /usr/local/bin/

FROM debian:bookworm-slim
# Buckets are reached over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 5678 --home-dir /var/lib/proximadb --create-home proximadb \
    && install -d -o proximadb /var/lib/proximadb/data
COPY --from=build /usr/local/bin/proximadb-server /usr/local/bin/proximadb-server
COPY LICENSE NOTICE /usr/share/doc/proximadb/
USER proximadb
WORKDIR /var/lib/proximadb
ENV PROXIMADB_DATA_DIR=/var/lib/proximadb/data
VOLUME /var/lib/proximadb/data
EXPOSE 5678 5679
# The server authenticates nobody and so stays on the container's loopback. To publish its ports on a network that you trust:
#   docker run -p 127.0.0.1:5678:5678 -p 127.0.0.1:5679:5679 -v proximadb:/var/lib/proximadb/data \
#     -e PROXIMADB_SERVER__REST_LISTEN=0.0.0.0:5678 -e PROXIMADB_SERVER__GRPC_LISTEN=0.0.0.0:5679 \
#     -e PROXIMADB_SERVER__ALLOW_UNAUTHENTICATED_NETWORK=true proximadb
ENTRYPOINT ["proximadb-server"]
