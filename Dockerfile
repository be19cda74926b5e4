# Two images from one build, each of one static program and nothing else:
#   docker build --target hub   --tag windflow-hub .
#   docker build --target agent --tag windflow-agent .

# The console, which the hub has inside.
FROM node:22-bookworm-slim AS console
WORKDIR /build
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web .
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates gcc g++ make libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
COPY --from=console /build/dist web/dist
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release \
      --package windflow-hub --package windflow-agent --target "$host" \
 && install -D --target-directory=/out "target/$host/release/windflow-hub" "target/$host/release/windflow-agent" \
 && install -D /out/windflow-agent "/out/agents/linux-$(uname -m)/windflow-agent" \
 && install -D --mode=644 --target-directory=/out/certs /etc/ssl/certs/ca-certificates.crt \
 && mkdir /out/data

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
# The agents that it hands out to new hosts. One of another platform can be
# mounted beside: /agents/linux-aarch64/windflow-agent.
COPY --from=build /out/agents /agents
COPY --from=build /out/windflow-hub /
USER 8443:8443
# For every command: docker exec HUB /windflow-hub token create web-1
ENV WINDFLOW_DATA_DIR=/data
VOLUME /data
EXPOSE 8443/tcp 8443/udp
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/windflow-hub", "health"]
ENTRYPOINT ["/windflow-hub"]
CMD ["serve", "--listen", "0.0.0.0:8443", "--engine", "none"]
