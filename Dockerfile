# The image that helm/minqiao runs: one static-enough binary on Debian's smallest base, no shell tricks, user 65532.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# OpenSSL's headers are part of the build image; Kafka over TLS needs them.
RUN cargo build --locked --profile dist -p minqiao-server -p minqiao-connector --features minqiao-server/kafka-tls \
 && cp target/dist/minqiao target/dist/minqiao-connector /usr/local/bin/

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Minqiao" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/local/bin/minqiao /usr/local/bin/minqiao-connector /usr/local/bin/
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /var/lib/minqiao && chown 65532:65532 /var/lib/minqiao
# See .cargo/config.toml.
ENV MALLOC_ARENA_MAX=4
USER 65532:65532
VOLUME /var/lib/minqiao
EXPOSE 8443 9464
ENTRYPOINT ["/usr/local/bin/minqiao"]
CMD ["serve"]
