# The library, static and shared. lib/*.c and lib/*/*.c are its sources, except for lib/blas, which is a library of its
# own (lib/blas/blas.mk). lib/install.mk installs the library.

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

.PHONY: library amalgamation

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

# ---- The library as two files ----
AMALGAMATION = $(BUILD)/amalgamation

amalgamation: $(AMALGAMATION)/mskp.h $(AMALGAMATION)/mskp.c ## the library as two files, build/amalgamation/mskp.[hc]

$(AMALGAMATION)/mskp.h: $(HEADERS)
$(AMALGAMATION)/mskp.c: $(LIB_SOURCES)
$(AMALGAMATION)/mskp.h $(AMALGAMATION)/mskp.c: LICENSE lib/amalgamate.awk $(wildcard lib/*/*.h) $(BUILD)/sources
	$(call say,GEN)
	@mkdir -p $(@D)
	$(Q)LC_ALL=C awk -v part=$(@F) -v version=$(VERSION) -f lib/amalgamate.awk LICENSE \
		$(sort $(filter include/% %.c,$^)) > $@

# The rule for sources in folders of the tree does not see it.
$(AMALGAMATION)/mskp.o: $(AMALGAMATION)/mskp.c $(AMALGAMATION)/mskp.h $(BUILD)/flags
	$(call say,CC)
	$(Q)$(CC) $(DIALECT) $(WARN) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
