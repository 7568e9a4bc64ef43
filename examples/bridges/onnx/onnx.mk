# The bridge to ONNX files, mskp-onnx, which prunes them, and the tests of both.
#
# examples/bridges/onnx/*.c is the bridge, examples/programs/onnx/*.c the program. Their tests are test/onnx/test_*.c,
# which link the bridge, all of the program but mskp-onnx.c, and the other test/onnx/*.c; the scripts test/onnx/check-*;
# and test/torture/test_onnx.c. protoc-c makes onnx/onnx.pb-c.h and its source from the package's onnx.proto, so their
# warnings are off.

PROTOC_C ?= protoc-c
ONNX_PROTO ?= /usr/include
ONNX := examples/programs/onnx
ONNX_BRIDGE := examples/bridges/onnx
# As the library is compiled, because the bridge can be a part of a shared library.
ONNX_BRIDGE_FLAGS = -I$(ONNX_BRIDGE) -Iexamples/runtime -isystem $(BUILD) $$($(PKG_CONFIG) --cflags libprotobuf-c) \
	$(filter-out -Ilib,$(LIB_FLAGS))
ONNX_FLAGS = -I$(ONNX_BRIDGE) -I$(ONNX) -Iexamples/programs -Iexamples/runtime -isystem $(BUILD) \
	$$($(PKG_CONFIG) --cflags libprotobuf-c)
ONNX_LIBS = $$($(PKG_CONFIG) --libs libprotobuf-c) -lm
ONNX_TEST_LIBS = $$($(PKG_CONFIG) --libs check) $(ONNX_LIBS)

ONNX_BRIDGE_OBJECTS := $(call objects,$(wildcard $(ONNX_BRIDGE)/*.c))
ONNX_OBJECTS := $(ONNX_BRIDGE_OBJECTS) $(call objects,$(wildcard $(ONNX)/*.c))
ONNX_HOST := $(call objects,$(wildcard examples/programs/host/*.c))
ONNX_PROTOCOL = $(BUILD)/onnx/onnx.pb-c
# All but main, which is what the tests link.
ONNX_PARTS = $(filter-out %/mskp-onnx.o,$(ONNX_OBJECTS)) $(ONNX_PROTOCOL).o $(COMMON) $(FILES) $(LIBRARY)
ONNX_TEST_OBJECTS := $(call objects,$(wildcard test/onnx/*.c))
ONNX_HELPERS := $(call objects,$(filter-out test/onnx/test_% test/onnx/fuzz_%, \
	$(wildcard test/onnx/*.c)))
ONNX_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/onnx/test_*.c))
ONNX_SCRIPTS := $(wildcard test/onnx/check-*)
# What the scripts run.
ONNX_PROGRAMS := $(if $(ONNX_SCRIPTS),$(addprefix $(BUILD)/,mskp-onnx onnx-host libmskp_python.so))
ONNX_REPLAYS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/onnx/fuzz_*.c))
ONNX_FUZZERS := $(patsubst test/onnx/fuzz_%.c,$(BUILD)/fuzzer_%,$(wildcard test/onnx/fuzz_*.c))
# test/test.mk links this.
ONNX_TORTURE = $(BUILD)/test/torture/test_onnx
OTHER_OBJECTS += $(ONNX_OBJECTS) $(ONNX_HOST) $(ONNX_TEST_OBJECTS)

# The bridge as a library for other programs. It is installed where it has been built, as mskp-onnx is.
ONNX_SONAME = libmskp-onnx.so.1
ONNX_SHARED = $(BUILD)/$(ONNX_SONAME)
ONNX_FULL_VERSION = libmskp-onnx.so.$(VERSION)

.PHONY: onnx check-onnx onnx-objects install-onnx uninstall-onnx

onnx: $(BUILD)/mskp-onnx $(BUILD)/onnx-host $(ONNX_SHARED) ## mskp-onnx and libmskp-onnx, installing what they need
ifneq ($(wildcard $(ONNX_SHARED)),)
install: install-onnx
endif
uninstall: uninstall-onnx

check-onnx: $(ONNX_TESTS) $(ONNX_TORTURE) $(ONNX_REPLAYS) $(ONNX_PROGRAMS) ## and its tests
	@$(RUN_TESTS) $(ONNX_TESTS) $(ONNX_TORTURE) $(ONNX_REPLAYS) $(ONNX_SCRIPTS)

onnx-objects: $(ONNX_OBJECTS) $(ONNX_HOST) $(ONNX_TEST_OBJECTS)

$(ONNX_PROTOCOL).c: $(BUILD)/flags | setup-onnx
	$(call say,GEN)
	@mkdir -p $(@D)
	$(Q)$(PROTOC_C) --c_out=$(BUILD) -I $(ONNX_PROTO) onnx/onnx.proto
$(ONNX_PROTOCOL).h: $(ONNX_PROTOCOL).c
	@touch $@

$(ONNX_OBJECTS): FLAGS = $(ONNX_FLAGS)
$(ONNX_HOST): FLAGS = -I$(ONNX_BRIDGE) -Iexamples/runtime
$(ONNX_BRIDGE_OBJECTS): FLAGS = $(ONNX_BRIDGE_FLAGS)
$(ONNX_TEST_OBJECTS): FLAGS = $(ONNX_FLAGS) -Itest $$($(PKG_CONFIG) --cflags check)
$(ONNX_OBJECTS) $(ONNX_TEST_OBJECTS): $(ONNX_PROTOCOL).h
$(ONNX_PROTOCOL).o: $(ONNX_PROTOCOL).c
	$(call say,CC)
	$(Q)$(CC) $(DIALECT) -w $(ONNX_BRIDGE_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/mskp-onnx: $(ONNX_OBJECTS) $(ONNX_PROTOCOL).o $(COMMON) $(FILES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_LIBS)

$(BUILD)/onnx-host: $(ONNX_HOST) $(ONNX_BRIDGE_OBJECTS) $(ONNX_PROTOCOL).o $(FILES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_LIBS)

$(ONNX_SHARED): $(ONNX_BRIDGE_OBJECTS) $(ONNX_PROTOCOL).o $(FILES) lib/mskp.map | $(LINK_NAME)
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,-soname,$(ONNX_SONAME) -Wl,--version-script=lib/mskp.map -Wl,-z,defs \
		-L$(BUILD) -lmskp $(ONNX_LIBS)

install-onnx: ## libmskp-onnx, mskp_onnx.h, mskp-onnx.pc
	$(INSTALL) -d '$(DESTDIR)$(includedir)' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)'
	$(INSTALL) -m 644 $(ONNX_BRIDGE)/mskp_onnx.h '$(DESTDIR)$(includedir)'
	$(INSTALL) -m 644 $(ONNX_SHARED) '$(DESTDIR)$(libdir)/$(ONNX_FULL_VERSION)'
	ln -sf $(ONNX_FULL_VERSION) '$(DESTDIR)$(libdir)/$(ONNX_SONAME)'
	ln -sf $(ONNX_SONAME) '$(DESTDIR)$(libdir)/libmskp-onnx.so'
	$(fill_pc) -e 's|^Name: .*|&-onnx|' -e 's|^Description: .*|Description: ONNX models as graphs of mskp|' \
		-e 's|-lmskp$$|-lmskp-onnx|' -e 's|^Libs.private: .*|Requires: mskp|' mskp.pc.in \
		> '$(DESTDIR)$(pkgconfigdir)/mskp-onnx.pc'

uninstall-onnx:
	rm -f '$(DESTDIR)$(includedir)/mskp_onnx.h' '$(DESTDIR)$(libdir)/$(ONNX_FULL_VERSION)' \
		'$(DESTDIR)$(libdir)/$(ONNX_SONAME)' '$(DESTDIR)$(libdir)/libmskp-onnx.so' '$(DESTDIR)$(pkgconfigdir)/mskp-onnx.pc'

# For Python, which loads one shared library: mskp and this bridge.
$(BUILD)/libmskp_python.so: $(LIB_OBJECTS) $(ONNX_BRIDGE_OBJECTS) $(ONNX_PROTOCOL).o $(FILES) \
		lib/mskp.map $(BUILD)/sources
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,--version-script=lib/mskp.map -Wl,-z,defs $(ONNX_LIBS)

# In this test, calls for memory fail.
$(BUILD)/test/onnx/test_library: ONNX_TEST_LIBS += -pthread $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc free)

$(ONNX_TESTS): %: %.o $(ONNX_HELPERS) $(ONNX_PARTS)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_TEST_LIBS)

$(ONNX_REPLAYS): %: %.o $(BUILD)/test/fuzz/replay.o $(ONNX_PARTS)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_LIBS)

$(ONNX_FUZZERS): $(BUILD)/fuzzer_%: $(BUILD)/test/onnx/fuzz_%.o $(ONNX_PARTS)
	$(call say,LINK)
	$(Q)$(LINK) -fsanitize=fuzzer $(ONNX_LIBS)
