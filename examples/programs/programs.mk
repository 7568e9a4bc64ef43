# The installation of the programs, with their pages of the manual.
#
# masksparsity and mskp-safetensors are installed where their libraries are there for the compiler's machine, mskp-onnx
# where it has been built.
# INSTALL_PROGRAMS says otherwise: `make install INSTALL_PROGRAMS=` installs none.
#
# A page is made of what the program prints with --help, when it is installed. No page is kept in the tree, because each
# option would then stand in two places.

ifeq ($(origin INSTALL_PROGRAMS),undefined)
INSTALL_PROGRAMS := $(if $(BLAS),$(shell $(PKG_CONFIG) --exists libcjson && echo masksparsity mskp-safetensors)) \
	$(if $(wildcard $(BUILD)/mskp-onnx),mskp-onnx)
endif
SUMMARY_masksparsity = train a convolutional network, prune it and fine-tune it
SUMMARY_mskp-onnx = list and remove channels of an ONNX file
SUMMARY_mskp-safetensors = remove channels from a safetensors file, which may be larger than memory
EVERY_PROGRAM = masksparsity mskp-onnx mskp-safetensors
MANUALS = $(INSTALL_PROGRAMS:%=$(BUILD)/man/%.1)

.PHONY: install-programs uninstall-programs man

install: install-programs
installcheck: $(MANUALS)
uninstall: uninstall-programs

man: $(MANUALS) ## the manual's pages of INSTALL_PROGRAMS, in build/man

# mskp-onnx is taken as it is, because its own rule would install packages.
$(BUILD)/man/masksparsity.1: $(MASKSPARSITY)
$(BUILD)/man/mskp-safetensors.1: $(SAFETENSORS)
$(BUILD)/man/mskp-onnx.1: FORCE
$(BUILD)/man/%.1: examples/programs/manual.awk
	@mkdir -p $(@D)
	$(Q)$(BUILD)/$* --help > $@.help && LC_ALL=C awk -v name=$* -v summary='$(SUMMARY_$*)' -v version=$(VERSION) \
		-v others='$(filter-out $*,$(EVERY_PROGRAM))' -f $< $@.help > $@

install-programs: $(MANUALS)
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1'
	for program in $(INSTALL_PROGRAMS); do \
		$(INSTALL) -m 755 $(BUILD)/"$$program" '$(DESTDIR)$(bindir)' && \
		$(INSTALL) -m 644 $(BUILD)/man/"$$program".1 '$(DESTDIR)$(mandir)/man1' || exit; \
	done

uninstall-programs:
	rm -f $(foreach p,$(EVERY_PROGRAM),'$(DESTDIR)$(bindir)/$p' '$(DESTDIR)$(mandir)/man1/$p.1')
