# libmskp-blas, static and shared, and its installation. lib/blas/*.c are its sources.
#
# It is a part of `make` and `make install` where a program for the compiler's machine links with the OpenBLAS that
# pkg-config finds: BLAS is then 1. `make BLAS=` leaves the library out, as is needed with musl-gcc on a system of
# glibc. `make library` never builds it.

ifeq ($(origin BLAS)$(STAND_IN),undefined)
BLAS := $(shell echo 'void dgesdd_(void); int main(void) { dgesdd_(); }' | \
	$(CC) $(CFLAGS) $(LDFLAGS) -x c -o /dev/null - -x none $$($(PKG_CONFIG) --libs openblas) 2> /dev/null && echo 1)
endif

BLAS_SONAME = libmskp-blas.so.1
BLAS_SOURCES := $(wildcard lib/blas/*.c)
BLAS_OBJECTS := $(call objects,$(BLAS_SOURCES))
BLAS_HEADER = include/mskp/blas.h
BLAS_LIBS = $$($(PKG_CONFIG) --libs openblas)
BLAS_LIBRARY = $(BUILD)/libmskp-blas.a
BLAS_SHARED = $(BUILD)/$(BLAS_SONAME)
BLAS_FULL_VERSION = libmskp-blas.so.$(VERSION)
# The objects of the core that the shared library has a copy of. The archive finds them in libmskp.a.
BLAS_BASE := $(call objects,$(patsubst %,lib/base/%.c,element memory status view))

.PHONY: blas install-blas uninstall-blas

ifneq ($(BLAS),)
EVERY_OBJECT += $(BLAS_OBJECTS)
all: blas
install: install-blas
installcheck: blas
endif
uninstall: uninstall-blas

blas: library $(BLAS_LIBRARY) $(BLAS_SHARED) $(BUILD)/libmskp-blas.so ## libmskp-blas, which needs OpenBLAS

$(BLAS_LIBRARY): $(BLAS_OBJECTS)

# With -z defs, what is not in lib/base must be public.
$(BLAS_SHARED): $(BLAS_OBJECTS) $(BLAS_BASE) lib/blas/mskp-blas.map $(BUILD)/sources | $(LINK_NAME)
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,-soname,$(BLAS_SONAME) -Wl,--version-script=lib/blas/mskp-blas.map -Wl,-z,defs \
		-L$(BUILD) -lmskp $(BLAS_LIBS) $(LIB_LIBS)

$(BUILD)/libmskp-blas.so: $(BLAS_SHARED)
	$(Q)ln -sf $(BLAS_SONAME) $@

install-blas: blas
	$(INSTALL) -d '$(DESTDIR)$(includedir)/mskp' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)' \
		'$(DESTDIR)$(cmakedir)'
	$(INSTALL) -m 644 $(BLAS_HEADER) '$(DESTDIR)$(includedir)/mskp'
	$(INSTALL) -m 644 $(BLAS_LIBRARY) '$(DESTDIR)$(libdir)'
	$(INSTALL) -m 644 $(BLAS_SHARED) '$(DESTDIR)$(libdir)/$(BLAS_FULL_VERSION)'
	ln -sf $(BLAS_FULL_VERSION) '$(DESTDIR)$(libdir)/$(BLAS_SONAME)'
	ln -sf $(BLAS_SONAME) '$(DESTDIR)$(libdir)/libmskp-blas.so'
	$(fill_pc) -e "s|@libs@|$(BLAS_LIBS) $(LIB_LIBS)|" \
		lib/blas/mskp-blas.pc.in > '$(DESTDIR)$(pkgconfigdir)/mskp-blas.pc'
	sed -e "s|@libs@|$$(echo $(BLAS_LIBS) $(LIB_LIBS) | tr ' ' ';')|" -e 's|@shared@|$(BLAS_FULL_VERSION)|' \
		-e 's|@soname@|$(BLAS_SONAME)|' lib/blas/mskp-blas.cmake.in > '$(DESTDIR)$(cmakedir)/mskp-blas.cmake'

uninstall-blas:
	rm -f '$(DESTDIR)$(includedir)/mskp/blas.h' '$(DESTDIR)$(libdir)/libmskp-blas.a' \
		'$(DESTDIR)$(libdir)/$(BLAS_FULL_VERSION)' '$(DESTDIR)$(libdir)/$(BLAS_SONAME)' \
		'$(DESTDIR)$(libdir)/libmskp-blas.so' '$(DESTDIR)$(pkgconfigdir)/mskp-blas.pc' \
		'$(DESTDIR)$(cmakedir)/mskp-blas.cmake'
