# `make demo` and `make test` are all that a newcomer needs; the rest is for those who build, install and measure.

PREFIX ?= /usr/local
SWIFT ?= swift
BINARY = .build/release/clearway

bindir = $(DESTDIR)$(PREFIX)/bin
mandir = $(DESTDIR)$(PREFIX)/share/man
docdir = $(DESTDIR)$(PREFIX)/share/doc/clearway
bashdir = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
zshdir = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
fishdir = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
unitdir = $(DESTDIR)$(PREFIX)/lib/systemd/system
# Where the program looks, whatever the prefix.
confdir = $(DESTDIR)/etc/clearway

.PHONY: help deps deps-bench build release demo test soak fuzz examples bench format man install uninstall clean

help:
	@echo "make demo       see it work: a client, a gateway and a server on this machine, out of its way"
	@echo "make test       everything that must hold: format, target order, tests, examples"
	@echo "make build      a debug build;  make release: an optimised one"
	@echo "make examples   run the examples and compare what they print"
	@echo "make bench      measure against kernel routing, kernel NAT, HAProxy, redsocks, nginx, Squid and more (root, about an hour)"
	@echo "make soak       a thousand starts and kills in a row"
	@echo "make fuzz       feed the parsers with bytes, guided by coverage; a minute each, SECONDS_EACH"
	@echo "make format     rewrite the sources in the project's format"
	@echo "make man        check the manual pages"
	@echo "make install    after make release; PREFIX=$(PREFIX), DESTDIR is respected"
	@echo "make uninstall  what install put there, but no configuration"
	@echo "make deps       install the Debian packages that are missing; deps-bench: those for bench"

deps:
	Scripts/deps run build demo test

deps-bench:
	Scripts/deps run build bench

build:
	@Scripts/deps run build
	$(SWIFT) build --explicit-target-dependency-import-check error

release:
	@Scripts/deps run build
	$(SWIFT) build -c release --static-swift-stdlib

demo:
	@Scripts/deps run build demo
	@$(SWIFT) build --product clearway
	@Scripts/demo

test: deps
	@Scripts/test

# The same test as in `make test`, for longer.
soak: deps
	$(SWIFT) build --build-tests
	CLEARWAY_RESTARTS=1000 $(SWIFT) test --skip-build --filter RepeatedStarts

examples:
	@Scripts/deps run build demo examples
	@$(SWIFT) build --product clearway
	@Scripts/examples

bench: deps-bench release
	Benchmarks/bench.py
	Benchmarks/bench.py --contenders by-hand,redsocks,redsocks-splice,go-relay,go-relay-1,clearway-socks,clearway-socks-pipelined --only bulk-8,rr-64,crc-1,crc-64,idle
	Benchmarks/bench.py --contenders by-hand,dante,dante-2,microsocks,clearway-served --only bulk-8,rr-64,crc-64
	Benchmarks/slow-handshakes.py
	Benchmarks/udp.py
	Benchmarks/web.py
	.build/release/decide

fuzz:
	@Scripts/deps build test
	Scripts/fuzz

format:
	$(SWIFT) format --in-place --parallel --recursive Package.swift Sources Tests Examples

man:
	mandoc -Tlint -Wwarning docs/*.[1-9]

# Builds nothing: `sudo make install` must not leave files of root's in .build.
install:
	@test -x $(BINARY) || { echo "there is no $(BINARY): run 'make release' first" >&2; exit 1; }
	install -D -m 755 $(BINARY) $(bindir)/clearway
	install -D -m 644 docs/clearway.8 $(mandir)/man8/clearway.8
	install -D -m 644 docs/clearway.toml.5 $(mandir)/man5/clearway.toml.5
	install -D -m 644 Packaging/clearway.toml $(docdir)/clearway.toml
	install -D -m 644 docs/gateways.md $(docdir)/gateways.md
	install -D -m 644 docs/transocks.md $(docdir)/transocks.md
	install -D -m 644 docs/usocksd.md $(docdir)/usocksd.md
	mkdir -p $(confdir) $(bashdir) $(zshdir) $(fishdir) $(unitdir)
	$(BINARY) --generate-completion-script bash >$(bashdir)/clearway
	$(BINARY) --generate-completion-script zsh >$(zshdir)/_clearway
	$(BINARY) --generate-completion-script fish >$(fishdir)/clearway.fish
	sed 's|@bindir@|$(PREFIX)/bin|' Packaging/clearway.service >$(unitdir)/clearway.service
	@test -n "$(DESTDIR)" || echo "Configuration goes to $(confdir)/clearway.toml; $(docdir)/clearway.toml shows every key."
	@test -n "$(DESTDIR)" || test -e $(confdir)/clearway.toml || echo "Without one, 'systemctl enable --now clearway' intercepts every TCP connection that this host makes."

uninstall:
	rm -f $(bindir)/clearway $(mandir)/man8/clearway.8 $(mandir)/man5/clearway.toml.5
	rm -f $(bashdir)/clearway $(zshdir)/_clearway $(fishdir)/clearway.fish $(unitdir)/clearway.service
	rm -rf $(docdir)
	@test ! -d $(confdir) || rmdir --ignore-fail-on-non-empty $(confdir)

clean:
	rm -rf .build
