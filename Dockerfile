# Two images from one build:
#   docker build --target hub   --tag windflow-hub .
#   docker build --target agent --tag windflow-agent .

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ make libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --locked --release --package windflow-hub --package windflow-agent

FROM debian:12-slim AS agent
COPY --from=build /build/target/release/windflow-agent /usr/local/bin/windflow-agent
VOLUME /state
# Stays root: the engine's socket is mounted in, and who may use that socket is
# root on the host anyway.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["bash", "-c", "windflow-agent status --state-dir /state --output json | grep --quiet '\"state\": \"connected\"'"]
ENTRYPOINT ["windflow-agent"]
CMD ["run", "--state-dir", "/state"]

FROM debian:12-slim AS hub
RUN useradd --system --uid 8443 --home-dir /data --shell /usr/sbin/nologin windflow \
 && install --directory --owner windflow --group windflow --mode 0700 /data
COPY --from=build /build/target/release/windflow-hub /usr/local/bin/windflow-hub
USER windflow
VOLUME /data
EXPOSE 8443/tcp 8443/udp
# The hub answers plain HTTP on loopback.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8443 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep --quiet ' 200 '"]
ENTRYPOINT ["windflow-hub"]
CMD ["serve", "--data-dir", "/data", "--listen", "0.0.0.0:8443", "--engine", "none"]
