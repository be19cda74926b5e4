# `make help` lists the targets. Everything else is in the tools they call.

CARGO ?= cargo
SCRIPTS := install.sh tests/setup.sh tests/demo.sh tests/src/machine/boot.sh .ci/run
FUZZ_SECONDS ?= 60
CONSOLE := web/dist/index.html
CONSOLE_TOOLS := web/node_modules/.package-lock.json
CONSOLE_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/e2e/*' -not -path 'web/bench/*' -not -name '*.md')

# What cargo calls the profile whose programs are in target/debug.
DEMO_PROFILE = $(or $(filter-out debug,$(WINDFLOW_DEMO_PROFILE)),dev)

TARGET = $(or $(CARGO_TARGET_DIR),target)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# Needs nothing of the machine that it will run on.
STATIC_AGENT = RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --package windflow-agent \
	  --target $(HOST) --target-dir $(TARGET)/static

.PHONY: help build web run demo test static-agent check e2e screenshots bench fuzz sbom clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

build: $(CONSOLE) ## Build the hub, its console and the agents that it hands out: target/release
	$(CARGO) build --locked --release --package windflow-hub --package windflow-agent
	$(STATIC_AGENT) --release
	install -D $(TARGET)/static/$(HOST)/release/windflow-agent \
	  $(TARGET)/release/agents/linux-$$(uname -m)/windflow-agent

web: $(CONSOLE) ## Build the console, which the hub then serves: web/dist

$(CONSOLE): $(CONSOLE_TOOLS) $(CONSOLE_SOURCES)
	cd web && npm run build

$(CONSOLE_TOOLS): web/package.json web/package-lock.json
	cd web && npm ci
	@touch $@

run: $(CONSOLE) ## Run a hub on 127.0.0.1:8443 with its data in target/hub
	$(CARGO) run --locked --package windflow-hub -- serve --data-dir target/hub --listen 127.0.0.1:8443

demo: $(CONSOLE) ## Build all and show a hub with one agent until Ctrl-C
	$(CARGO) build --locked --profile $(DEMO_PROFILE) --package windflow-hub --package windflow-agent
	@tests/demo.sh

test: ## Install what the tests need and run all of them
	tests/setup.sh
	$(MAKE) web
	$(CARGO) build --locked --workspace --bins --tests
	$(STATIC_AGENT)
	# Most of what a scenario does is wait: one more at a time than there are processors.
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) $(CARGO) test --locked --workspace

static-agent: ## Build the agent that needs no libraries, as the tests use it
	$(STATIC_AGENT)

check: ## Format, lints, documentation, dependencies, scripts: the gate before each commit
	tests/setup.sh lint
	$(MAKE) web
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet
	$(CARGO) test --locked --quiet --workspace --test tidy
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-deny
	$(CARGO) deny --locked check bans licenses sources
	@if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	else echo 'check: SKIPPED advisories, their database cannot be reached from here'; fi
	shellcheck $(SCRIPTS)
	cd web && npm run check

e2e: ## Only the scenarios on real engines; NAME=part of a name narrows them down
	tests/setup.sh
	$(MAKE) web
	$(CARGO) build --locked --workspace --bins --tests
	$(STATIC_AGENT)
	$(CARGO) test --locked --workspace --test scenarios --test installer -- $(NAME)

screenshots: ## Take the documents' pictures of the console anew, on the walk through it
	$(MAKE) e2e NAME=acceptance::console
	cd web && npm run --silent screenshots

bench: build ## Measure speed and size beside the direct socket; PART=engine|live|access|transport|agents|distance|rival|console
	tests/setup.sh
ifneq ($(PART),console)
	$(CARGO) bench --locked --package windflow-tests --bench tunnel -- $(PART)
endif
ifneq ($(filter console,$(or $(PART),console)),)
	cd web && npm run --silent bench
endif

fuzz: ## Run each fuzz target for FUZZ_SECONDS (nightly Rust and cargo-fuzz)
	@for target in $$(cd protocol && cargo +nightly fuzz list); do \
	  mkdir -p "protocol/fuzz/target/found/$$target"; \
	  (cd protocol && cargo +nightly fuzz run "$$target" "fuzz/target/found/$$target" "fuzz/corpus/$$target" \
	    -- -max_total_time=$(FUZZ_SECONDS)) || exit 1; done

sbom: ## List what hub, agent and console are made of, as CycloneDX: target/sbom
	$(CARGO) cyclonedx --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-cyclonedx
	mkdir -p target/sbom
	$(CARGO) cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename sbom
	for part in hub agent; do mv "$$part/sbom.json" "target/sbom/windflow-$$part.cdx.json"; done
	rm protocol/sbom.json tests/sbom.json
	cd web && npm sbom --sbom-format cyclonedx --package-lock-only --omit dev > ../target/sbom/windflow-console.cdx.json

clean: ## Remove everything that was built, the unpacked engine included
	$(CARGO) clean
	rm -rf web/dist web/node_modules
