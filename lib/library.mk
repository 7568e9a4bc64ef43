# The library, static and shared, and its installation. lib/*.c and lib/*/*.c are its sources, except for lib/blas,
# which is a library of its own (lib/blas/blas.mk).

# The soname counts incompatible changes; the version is written in the header alone.
SONAME = libmskp.so.1
VERSION = $(shell awk '/^.define MSKP_VERSION_(MAJOR|MINOR|PATCH) / { v = v s $$3; s = "." } END { print v }' \
	include/mskp.h)

# What the library needs beside libc.
LIB_LIBS = -lm
LIB_FLAGS = -Ilib -fPIC -fvisibility=hidden '-DMSKP_API=__attribute__((visibility("default")))'
# The folder of the build is not part of what is built: the same sources give the same bytes.
LIB_FLAGS += '-fdebug-prefix-map=$(CURDIR)=.'
SHARED_NAMES = -Wl,-soname,$(SONAME) -Wl,--version-script=lib/mskp.map -Wl,-z,defs

LIB_SOURCES := $(filter-out lib/blas/%,$(wildcard lib/*.c lib/*/*.c))
LIB_OBJECTS := $(call objects,$(LIB_SOURCES))
LIBRARY = $(BUILD)/libmskp.a
HEADERS := include/mskp.h $(filter-out %/blas.h,$(wildcard include/mskp/*.h))
SHARED = $(BUILD)/$(SONAME)
FULL_VERSION = libmskp.so.$(VERSION)
# What a linker finds with -lmskp.
LINK_NAME = $(BUILD)/libmskp.so
EVERY_OBJECT += $(LIB_OBJECTS)

.PHONY: library install uninstall installcheck

# For Windows, a DLL beside its import library.
ifneq ($(findstring mingw,$(TARGET)),)
LIB_FLAGS = -Ilib '-DMSKP_API=__declspec(dllexport)' '-fdebug-prefix-map=$(CURDIR)=.'
SHARED = $(BUILD)/libmskp-$(patsubst libmskp.so.%,%,$(SONAME)).dll
LINK_NAME = $(BUILD)/libmskp.dll.a
SHARED_NAMES = -static-libgcc -Wl,--no-insert-timestamp -Wl,--out-implib,$(LINK_NAME)
endif

library: $(LIBRARY) $(SHARED) $(LINK_NAME) ## the library alone

$(BUILD)/lib/%: FLAGS = $(LIB_FLAGS)
# What a measurement adds to the library alone; it stands behind CFLAGS, and so overrides the optimization.
$(BUILD)/lib/%.o: override CFLAGS += $(MEASURE)

$(LIBRARY): $(LIB_OBJECTS)

$(SHARED): $(LIB_OBJECTS) lib/mskp.map $(BUILD)/sources
	$(call say,LINK)
	$(Q)$(LINK) -shared $(SHARED_NAMES) $(LIB_LIBS)

# The linker has written it beside the DLL.
$(BUILD)/libmskp.dll.a: $(SHARED) ;

$(BUILD)/libmskp.so: $(SHARED)
	$(Q)ln -sf $(SONAME) $@

# ---- Installation ----
# Relative to ${prefix} wherever the folders are below it, so that the tree can be moved (pkg-config --define-prefix).
below = $(subst $(prefix)/,$${prefix}/,$(1))
fill_template = sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(call below,$(libdir))|' -e 's|@version@|$(VERSION)|' \
	-e 's|@includedir@|$(call below,$(includedir))|'
INSTALLED_DOCS = LICENSE $(addprefix docs/,changes.md glossary.md guide.md mask-file.md methods.md report-schema.json \
	training-step.md)

define install_shared
$(INSTALL) -m 644 $(SHARED) '$(DESTDIR)$(libdir)/$(FULL_VERSION)'
ln -sf $(FULL_VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libmskp.so'
endef
INSTALLED_SHARED = '$(DESTDIR)$(libdir)/$(FULL_VERSION)' '$(DESTDIR)$(libdir)/$(SONAME)' \
	'$(DESTDIR)$(libdir)/libmskp.so'
ifneq ($(findstring mingw,$(TARGET)),)
define install_shared
$(INSTALL) -d '$(DESTDIR)$(bindir)'
$(INSTALL) -m 755 $(SHARED) '$(DESTDIR)$(bindir)'
$(INSTALL) -m 644 $(LINK_NAME) '$(DESTDIR)$(libdir)'
endef
INSTALLED_SHARED = '$(DESTDIR)$(bindir)/$(notdir $(SHARED))' '$(DESTDIR)$(libdir)/$(notdir $(LINK_NAME))'
endif

install: library ## install under DESTDIR; prefix, libdir, includedir, docdir as usual
	$(INSTALL) -d '$(DESTDIR)$(includedir)/mskp' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)' '$(DESTDIR)$(docdir)'
	for header in $(HEADERS:include/%=%); do \
		$(INSTALL) -m 644 "include/$$header" '$(DESTDIR)$(includedir)'/"$$header" || exit; \
	done
	$(INSTALL) -m 644 $(LIBRARY) '$(DESTDIR)$(libdir)/libmskp.a'
	$(install_shared)
	$(fill_template) -e 's|@libs@|$(LIB_LIBS)|' mskp.pc.in > '$(DESTDIR)$(pkgconfigdir)/mskp.pc'
	$(INSTALL) -m 644 $(INSTALLED_DOCS) '$(DESTDIR)$(docdir)'

uninstall: ## remove what install wrote
	rm -f $(HEADERS:include/%='$(DESTDIR)$(includedir)/%') \
		'$(DESTDIR)$(libdir)/libmskp.a' '$(DESTDIR)$(pkgconfigdir)/mskp.pc' \
		$(INSTALLED_SHARED) \
		$(patsubst %,'$(DESTDIR)$(docdir)/%',$(notdir $(INSTALLED_DOCS)))
	for folder in '$(DESTDIR)$(docdir)' '$(DESTDIR)$(includedir)/mskp'; do \
		if [ -d "$$folder" ]; then rmdir --ignore-fail-on-non-empty "$$folder"; fi; \
	done

installcheck: library ## install to a temporary place and build the consumers from there
	@$(RUN_TESTS) test/scripts/install-*
