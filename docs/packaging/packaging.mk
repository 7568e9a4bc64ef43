# Debian packages, in build/deb. docs/packaging/debian is copied to where dpkg-buildpackage looks for it, in a copy of
# the tree, because the tree itself has no such folder.

DEB = build/deb
DEB_FILES = LICENSE Makefile README.md mskp.pc.in docs examples include lib test

.PHONY: deb

deb: ## Debian packages, in build/deb (needs build-essential and debhelper)
	@grep -qF 'mskp ($(VERSION)-' docs/packaging/debian/changelog || \
		{ echo "docs/packaging/debian/changelog has no entry for $(VERSION)"; exit 1; }
	rm -rf $(DEB)
	mkdir -p $(DEB)/mskp
	cp -r $(DEB_FILES) docs/packaging/debian $(DEB)/mskp
	cd $(DEB)/mskp && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL dpkg-buildpackage -b -us -uc
