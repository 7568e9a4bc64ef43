# What `make install` writes, but for what blas.mk installs of libmskp-blas: headers, libraries, the files by which
# pkg-config and CMake find them, and pages.
#
# The tree can be moved. The package of CMake finds the folders relative to its own place; so does pkg-config with
# RELOCATABLE=1, which is no default because a sysroot (PKG_CONFIG_SYSROOT_DIR) would then come twice with the
# pkg-config of freedesktop.org. Without that, `pkg-config --define-prefix` works for the usual libdir, prefix/lib.

.PHONY: install install-library install-docs uninstall installcheck

install: install-library install-docs ## install under DESTDIR; prefix, libdir, includedir, docdir as usual

# ---- Folders and templates ----
# The folder $(2) as seen from the folder $(1): relative where both are below prefix.
from_to = $(shell case '$(1)|$(2)' in ('$(prefix)'/*'|$(prefix)'/*) realpath -ms --relative-to='$(1)' '$(2)' ;; \
	(*) echo '$(2)' ;; esac)
# For pkg-config, blanks have a backslash (two for sed).
pc_folder = $(subst $(blank),\\$(blank),$(subst $(prefix)/,$${prefix}/,$(1)))
blank := $(subst ,, )
from_pc = $(shell realpath -ms --relative-to='$(pkgconfigdir)' '$(prefix)')
PC_PREFIX = $(if $(RELOCATABLE),$${pcfiledir}/$(from_pc),$(prefix))
fill_pc = sed -e 's|@prefix@|$(call pc_folder,$(PC_PREFIX))|' -e 's|@libdir@|$(call pc_folder,$(libdir))|' \
	-e 's|@includedir@|$(call pc_folder,$(includedir))|' -e 's|@version@|$(VERSION)|'
fill_cmake = sed -e 's|@version@|$(VERSION)|g' -e 's|@pointer@|$(POINTER_BYTES)|' \
	-e 's|@libdir@|$(call from_to,$(cmakedir),$(libdir))|' \
	-e 's|@includedir@|$(call from_to,$(cmakedir),$(includedir))|' \
	-e 's|@shareddir@|$(call from_to,$(cmakedir),$(SHARED_FOLDER))|'
POINTER_BYTES = $(shell echo __SIZEOF_POINTER__ | $(CC) $(CFLAGS) -E -P -)

# ---- The library ----
CMAKE_FILES = mskp-config.cmake mskp-config-version.cmake
SHARED_FOLDER = $(libdir)

define install_shared
$(INSTALL) -m 644 $(SHARED) '$(DESTDIR)$(libdir)/$(FULL_VERSION)'
ln -sf $(FULL_VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libmskp.so'
endef
INSTALLED_SHARED = '$(DESTDIR)$(libdir)/$(FULL_VERSION)' '$(DESTDIR)$(libdir)/$(SONAME)' \
	'$(DESTDIR)$(libdir)/libmskp.so'
CMAKE_SHARED = -e 's|@shared@|$(FULL_VERSION)|' -e 's|@soname@|$(SONAME)|' -e '/@import_library@/d'
ifneq ($(findstring mingw,$(TARGET)),)
SHARED_FOLDER = $(bindir)
define install_shared
$(INSTALL) -d '$(DESTDIR)$(bindir)'
$(INSTALL) -m 755 $(SHARED) '$(DESTDIR)$(bindir)'
$(INSTALL) -m 644 $(LINK_NAME) '$(DESTDIR)$(libdir)'
endef
INSTALLED_SHARED = '$(DESTDIR)$(bindir)/$(notdir $(SHARED))' '$(DESTDIR)$(libdir)/$(notdir $(LINK_NAME))'
CMAKE_SHARED = -e 's|@shared@|$(notdir $(SHARED))|' -e '/@soname@/d' -e 's|@import_library@|$(notdir $(LINK_NAME))|'
endif

install-library: library ## the library alone
	$(INSTALL) -d '$(DESTDIR)$(includedir)/mskp' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)' \
		'$(DESTDIR)$(cmakedir)'
	for header in $(HEADERS:include/%=%); do \
		$(INSTALL) -m 644 "include/$$header" '$(DESTDIR)$(includedir)'/"$$header" || exit; \
	done
	$(INSTALL) -m 644 $(LIBRARY) '$(DESTDIR)$(libdir)/libmskp.a'
	$(install_shared)
	$(fill_pc) -e 's|@libs@|$(LIB_LIBS)|' mskp.pc.in > '$(DESTDIR)$(pkgconfigdir)/mskp.pc'
	for file in $(CMAKE_FILES); do \
		$(fill_cmake) $(CMAKE_SHARED) -e 's|@libs@|$(LIB_LIBS)|' "lib/$$file.in" \
			> '$(DESTDIR)$(cmakedir)'/"$$file" || exit; \
	done

# ---- Pages ----
# They keep their places, so that the links between them are right. Headers are linked to where they are installed, and
# blas.h is no link where it is not installed.
PAGES := LICENSE README.md test/README.md $(wildcard docs/*.md docs/*.svg docs/*.png docs/*.json) \
	$(wildcard $(foreach e,c h cpp hpp cfg md,examples/*.$e examples/*/*.$e examples/*/*/*.$e examples/*/*/*/*.$e))
# Deepest first.
PAGE_FOLDERS = $(shell printf '%s\n' $(sort $(filter-out ./,$(dir $(PAGES))) examples/programs/ \
	examples/programs/trainers/) | sort -r)
NO_BLAS_HEADER = 's|\[\([^]]*\)\]([^()]*/mskp/blas\.h)|\1|g'

install-docs:
	for folder in $(PAGE_FOLDERS); do $(INSTALL) -d '$(DESTDIR)$(docdir)'/"$$folder" || exit; done
	for page in $(PAGES); do \
		$(INSTALL) -m 644 "$$page" '$(DESTDIR)$(docdir)'/"$$page" || exit; \
	done
	for page in $(filter %.md,$(PAGES)); do \
		headers=$$(realpath -ms --relative-to='$(docdir)'/"$$(dirname "$$page")" '$(includedir)') && \
		sed -e "s|](\(\.\./\)*include/|]($$headers/|g" $(if $(BLAS),,-e $(NO_BLAS_HEADER)) "$$page" \
			> '$(DESTDIR)$(docdir)'/"$$page" || exit; \
	done

# ---- And back ----
uninstall: ## remove what install wrote
	rm -f $(HEADERS:include/%='$(DESTDIR)$(includedir)/%') \
		'$(DESTDIR)$(libdir)/libmskp.a' '$(DESTDIR)$(pkgconfigdir)/mskp.pc' \
		$(INSTALLED_SHARED) \
		$(CMAKE_FILES:%='$(DESTDIR)$(cmakedir)/%') \
		$(PAGES:%='$(DESTDIR)$(docdir)/%')
	for folder in $(PAGE_FOLDERS:%='$(DESTDIR)$(docdir)/%') '$(DESTDIR)$(docdir)' '$(DESTDIR)$(includedir)/mskp' \
			'$(DESTDIR)$(cmakedir)'; do \
		if [ -d "$$folder" ]; then rmdir --ignore-fail-on-non-empty "$$folder"; fi; \
	done

installcheck: library ## install to a temporary place and build the consumers from there
	@$(RUN_TESTS) test/scripts/install-*
