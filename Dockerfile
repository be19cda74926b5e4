# Two images from one build, each of one static program and nothing else:
#   docker build --target hub   --tag windflow-hub .
#   docker build --target agent --tag windflow-agent .

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates gcc g++ make libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release \
      --package windflow-hub --package windflow-agent --target "$host" \
 && mkdir -p /out/data /out/certs \
 && cp "target/$host/release/windflow-hub" "target/$host/release/windflow-agent" /out/ \
 && cp /etc/ssl/certs/ca-certificates.crt /out/certs/

FROM scratch AS agent
COPY --from=build /out/windflow-agent /
VOLUME /state
# Stays root: the engine's socket is mounted in, and who may use that socket is
# root on the host anyway.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/windflow-agent", "status", "--state-dir", "/state", "--wait", "connected", "--timeout", "0"]
ENTRYPOINT ["/windflow-agent"]
CMD ["run", "--state-dir", "/state"]

FROM scratch AS hub
COPY --from=build /out/certs /etc/ssl/certs
COPY --from=build --chown=8443:8443 /out/data /data
# The agent beside the hub is what it hands out to new hosts.
COPY --from=build /out/windflow-hub /out/windflow-agent /
USER 8443:8443
VOLUME /data
EXPOSE 8443/tcp 8443/udp
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/windflow-hub", "--data-dir", "/data", "health"]
ENTRYPOINT ["/windflow-hub"]
CMD ["serve", "--data-dir", "/data", "--listen", "0.0.0.0:8443", "--engine", "none"]
