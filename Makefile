# mskp - GNU make. `make help` lists the targets; everything that is built goes to $(BUILD).
#
# New files need no edit here. lib/*/*.c is the library, a folder for each stage, examples/convnet/*.c the small runtime of the examples and
# examples/job/*.c what else they share. Programs of their own are examples/*.c, test/test_*.c, test/bench/*.c and
# test/convnet/test_*.c (built for float and for double). The other folders of test/ hold helpers: a test/test_*.c or
# test/bench/*.c is linked with those whose headers it includes. Each test/scripts/check-* is one test: exit status 0 passed, 77 skipped.
# test/fuzz/fuzz_NAME.c is a libFuzzer target: `make check` runs it over test/fuzz/corpus/NAME, `make fuzz` lets it search.
# A trainer of examples/hosts/NAME is one program, NAME, of all its sources; its tests are test/hosts/test_NAME.
# examples/onnx/*.c is one program, mskp-onnx; its tests are test/onnx/test_*.c, which link all of it but mskp-onnx.c and
# the other test/onnx/*.c, and the scripts test/onnx/check-*.

BUILD ?= build
CFLAGS ?= -O3 -g
CXXFLAGS ?= -O2
PKG_CONFIG ?= pkg-config
INSTALL ?= install
CLANG_FORMAT ?= clang-format
GCOV ?= gcov
CLANG_TIDY ?= clang-tidy
PYTHON ?= python3
JOBS ?= 2
SANITIZE ?= address,undefined
FUZZ ?= $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
SECONDS ?= 60

prefix = /usr/local
exec_prefix = $(prefix)
libdir = $(exec_prefix)/lib
includedir = $(prefix)/include
datarootdir = $(prefix)/share
docdir = $(datarootdir)/doc/mskp
pkgconfigdir = $(libdir)/pkgconfig

# What setup installs on Debian and Ubuntu: for all, demo, check; and what only lint, installcheck and valgrind need.
# `make setup LINT_PACKAGES=` leaves the latter out.
PACKAGES = gcc libc6-dev make pkg-config libopenblas-dev libcjson-dev check
# And what each of the HOSTS needs besides (`make hosts` installs it).
HOSTS ?= darknet libtorch dlib
PACKAGES_darknet = darknet
PACKAGES_libtorch = g++ libtorch-dev
PACKAGES_dlib = g++ libdlib-dev libjpeg-dev
# And what mskp-onnx needs besides (`make onnx` installs it).
PACKAGES_onnx = libprotobuf-c-dev protobuf-c-compiler libonnx-dev
LINT_PACKAGES = g++ clang clang-format clang-tidy shellcheck valgrind

# An OpenBLAS that is older than the processor takes kernels that any processor can run, several times slower. What is run
# from here is told which to take.
CPU_FLAGS := $(if $(filter x86_64,$(shell uname -m)),$(shell sed -n '/^flags/{s/.*://p;q}' /proc/cpuinfo 2>/dev/null))
OPENBLAS_CORETYPE ?= $(if $(filter-out $(CPU_FLAGS),avx512f avx512bw avx512dq avx512vl),$(if \
	$(filter-out $(CPU_FLAGS),avx2 fma),,Haswell),SkylakeX)
ifneq ($(OPENBLAS_CORETYPE),)
export OPENBLAS_CORETYPE
endif

# Optional data of the tests: a folder with data/ in it, and CIFAR-10 in its own binary format (`make cifar` unpacks it).
MSKP_SHARED ?= $(wildcard ../shared)
MSKP_CIFAR ?= $(wildcard build/cifar)
export MSKP_SHARED MSKP_CIFAR
ifeq ($(MSKP_SHARED),)
unexport MSKP_SHARED
endif
ifeq ($(MSKP_CIFAR),)
unexport MSKP_CIFAR
endif

# The soname counts incompatible changes; the version is written in the header alone.
SONAME = libmskp.so.0
VERSION = $(shell awk '/^.define MSKP_VERSION_(MAJOR|MINOR|PATCH) / { v = v s $$3; s = "." } END { print v }' include/mskp.h)

# `make V=1` shows the commands in full.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

# ---- Flags ----
# Reproducible arithmetic: no contraction, no -ffast-math. -fno-math-errno changes no result: sqrt becomes one instruction.
WARN = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
DIALECT = -std=c11 -ffp-contract=off -fno-math-errno
COMPILE = $(CC) $(DIALECT) $(WARN) -Iinclude $(FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
LINK = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -Wl,--as-needed

# What the library may need; --as-needed drops what it does not.
LIB_LIBS = -lopenblas -lm
LIB_FLAGS = -Ilib -fPIC -fvisibility=hidden '-DMSKP_API=__attribute__((visibility("default")))'
CONVNET_FLAGS = -Iexamples/convnet -pthread $$($(PKG_CONFIG) --cflags libcjson openblas)
CONVNET_LIBS = $$($(PKG_CONFIG) --libs libcjson openblas) -pthread -lm
TEST_FLAGS = -Ilib -Itest $(CONVNET_FLAGS) $$($(PKG_CONFIG) --cflags check)
TEST_LIBS = $$($(PKG_CONFIG) --libs check) $(CONVNET_LIBS)

# The hosts: each trainer as its own package has it. Its headers are not ours to mend: -isystem.
CXX_DIALECT = -std=c++17 -ffp-contract=off
CXX_WARN = $(filter-out %-prototypes,$(WARN))
CXX_COMPILE = $(CXX) $(CXX_DIALECT) $(CXX_WARN) -Iinclude $(FLAGS) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<
HOST_FLAGS = -Iexamples/hosts -Iexamples/hosts/$(1) -Itest $(CONVNET_FLAGS) $$($(PKG_CONFIG) --cflags check) $(FLAGS_$(1))
FLAGS_darknet = -isystem /usr/lib/darknet/include
LIBS_darknet = -L/usr/lib/darknet -Wl,-rpath,/usr/lib/darknet -ldarknet
FLAGS_libtorch = -isystem /usr/include/torch/csrc/api/include
LIBS_libtorch = -ltorch -ltorch_cpu -lc10
FLAGS_dlib = $$($(PKG_CONFIG) --cflags dlib-1)
LIBS_dlib = $$($(PKG_CONFIG) --libs dlib-1)

# The ONNX program. protoc-c makes onnx/onnx.pb-c.h and its source of the package's onnx.proto; they are not ours to mend.
PROTOC_C ?= protoc-c
ONNX_PROTO ?= /usr/include
ONNX_FLAGS = -Iexamples/onnx -Iexamples -isystem $(BUILD) $$($(PKG_CONFIG) --cflags libprotobuf-c)
ONNX_LIBS = $$($(PKG_CONFIG) --libs libprotobuf-c) -lm
ONNX_TEST_LIBS = $$($(PKG_CONFIG) --libs check) $(ONNX_LIBS)

# ---- Files ----
objects = $(addprefix $(BUILD)/,$(patsubst %.c,%.o,$(patsubst %.cpp,%.o,$(1))))
double = $(patsubst $(BUILD)/%,$(BUILD)/f64/%,$(1))

LIB_OBJECTS := $(call objects,$(wildcard lib/*/*.c))
CONVNET_OBJECTS := $(call objects,$(wildcard examples/convnet/*.c))
HELPER_OBJECTS := $(call objects,$(filter-out $(addprefix test/,consumer/% convnet/% bench/% fuzz/% hosts/% onnx/%),$(wildcard test/*/*.c)))
HELPERS := $(patsubst $(BUILD)/test/%/,%,$(sort $(dir $(HELPER_OBJECTS))))
JOB_OBJECTS := $(call objects,$(wildcard examples/job/*.c))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))
TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/test_*.c))
CONVNET_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/convnet/test_*.c))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard test/bench/*.c))
REPLAYS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/fuzz/fuzz_*.c))
PROGRAMS := $(TESTS) $(REPLAYS) $(CONVNET_TESTS) $(call double,$(CONVNET_TESTS))
SCRIPTS := $(wildcard test/scripts/check-*)
HOST_SHARED := $(call objects,examples/hosts/host.c test/hosts/laws.c)
host_objects = $(call objects,$(wildcard examples/hosts/$(1)/*.c examples/hosts/$(1)/*.cpp))
host_test = $(call objects,$(wildcard test/hosts/test_$(1).c test/hosts/test_$(1).cpp))
HOST_OBJECTS := $(HOST_SHARED) $(foreach h,$(HOSTS),$(call host_objects,$(h)) $(call host_test,$(h)))
ONNX_OBJECTS := $(call objects,$(wildcard examples/onnx/*.c))
ONNX_TEST_OBJECTS := $(call objects,$(wildcard test/onnx/*.c))
ONNX_HELPERS := $(call objects,$(filter-out test/onnx/test_% test/onnx/fuzz_%,$(wildcard test/onnx/*.c)))
ONNX_REPLAY = $(BUILD)/test/onnx/fuzz_onnx
ONNX_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/onnx/test_*.c))
ONNX_SCRIPTS := $(wildcard test/onnx/check-*)
ONNX_MAIN = $(BUILD)/examples/onnx/mskp-onnx.o
ONNX_PROTOCOL = $(BUILD)/onnx/onnx.pb-c
# Of the examples' job/, what needs no training runtime.
ONNX_JOB := $(call objects,examples/job/args.c examples/job/progress.c)

LIBRARY = $(BUILD)/libmskp.a
SHARED = $(BUILD)/$(SONAME)
CONVNET = $(BUILD)/libconvnet.a
CONVNET_F64 = $(BUILD)/libconvnet_f64.a
JOB = $(BUILD)/libjob.a
HELPER_LIBRARIES := $(HELPERS:%=$(BUILD)/libtest_%.a)

EVERY_OBJECT := $(LIB_OBJECTS) $(CONVNET_OBJECTS) $(call double,$(CONVNET_OBJECTS)) $(HELPER_OBJECTS) $(JOB_OBJECTS) \
	$(call objects,$(wildcard examples/*.c test/test_*.c test/fuzz/*.c test/convnet/*.c test/bench/*.c)) \
	$(call double,$(call objects,$(wildcard test/convnet/*.c)))
SOURCES := $(wildcard include/*.h lib/*/*.[ch] examples/*.[ch] examples/*/*.[ch] examples/hosts/*/*.[ch] examples/hosts/*/*pp \
	test/*.[ch] test/*/*.[ch] test/*/*.cpp)

# ---- Build ----
.PHONY: all library setup setup-hosts hosts check-hosts lint-hosts setup-onnx onnx check-onnx lint-onnx onnx-objects demo check programs check-programs check-library bench cifar install uninstall installcheck \
	fuzz format lint lint-format lint-tidy lint-warnings lint-shell sanitize valgrind coverage clean help every-object host-objects FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: library $(EXAMPLES) ## the library (static and shared) and the examples
library: $(LIBRARY) $(SHARED) $(BUILD)/libmskp.so ## the library alone
programs: $(PROGRAMS)
every-object: $(EVERY_OBJECT)
host-objects: $(HOST_OBJECTS)
onnx-objects: $(ONNX_OBJECTS) $(ONNX_TEST_OBJECTS)

# Everything is built anew when the compiler or its flags change, archives also when a source file comes or goes.
$(BUILD)/flags: STAMP = $(CC) $(DIALECT) $(WARN) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(BUILD)/cxxflags: STAMP = $(CXX) $(CXX_DIALECT) $(CXX_WARN) $(CPPFLAGS) $(CXXFLAGS) $(LDFLAGS)
$(BUILD)/sources: STAMP = $(EVERY_OBJECT)
$(BUILD)/flags $(BUILD)/cxxflags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(STAMP))' | cmp -s - $@ || echo '$(subst ','\'',$(STAMP))' > $@
ifneq ($(filter setup,$(MAKECMDGOALS)),)
$(BUILD)/flags: | setup
endif

$(BUILD)/lib/%: FLAGS = $(LIB_FLAGS)
$(BUILD)/examples/%: FLAGS = $(CONVNET_FLAGS)
$(BUILD)/test/%: FLAGS = $(TEST_FLAGS)
$(BUILD)/f64/examples/%: FLAGS = $(CONVNET_FLAGS) -DCN_DOUBLE
$(BUILD)/f64/test/%: FLAGS = $(TEST_FLAGS) -DCN_DOUBLE

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(COMPILE)

$(BUILD)/f64/%.o: %.c $(BUILD)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(COMPILE)

$(BUILD)/%.o: %.cpp $(BUILD)/cxxflags
	$(call say,CXX)
	@mkdir -p $(@D)
	$(Q)$(CXX_COMPILE)

$(LIBRARY): $(LIB_OBJECTS)
$(CONVNET): $(CONVNET_OBJECTS)
$(CONVNET_F64): $(call double,$(CONVNET_OBJECTS))
$(JOB): $(JOB_OBJECTS)
$(foreach h,$(HELPERS),$(eval $(BUILD)/libtest_$(h).a: $(filter $(BUILD)/test/$(h)/%,$(HELPER_OBJECTS))))
$(BUILD)/%.a: $(BUILD)/sources
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

$(SHARED): $(LIB_OBJECTS) lib/mskp.map $(BUILD)/sources
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=lib/mskp.map -Wl,-z,defs $(LIB_LIBS)

$(BUILD)/libmskp.so: $(SHARED)
	$(Q)ln -sf $(SONAME) $@

$(EXAMPLES): $(BUILD)/%: $(BUILD)/examples/%.o $(JOB) $(CONVNET) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(CONVNET_LIBS)

# The folders whose headers the program includes; they need not agree on names among each other.
used_helpers = $(foreach h,$(HELPERS),$(if $(shell grep -l 'test/$(h)/' $(<:.o=.d)),$(BUILD)/libtest_$(h).a))
$(TESTS): %: %.o $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(used_helpers) $(LIBRARY) -Wl,--as-needed $(TEST_LIBS)

# A fuzz target over its corpus (gcc can), and as libFuzzer's own program (clang alone).
$(REPLAYS): %: %.o $(BUILD)/test/fuzz/replay.o $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(used_helpers) $(LIBRARY) -Wl,--as-needed $(TEST_LIBS)

$(BUILD)/fuzzer_%: $(BUILD)/test/fuzz/fuzz_%.o $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(used_helpers) $(LIBRARY) -Wl,--as-needed $(TEST_LIBS)

$(CONVNET_TESTS): %: %.o $(CONVNET) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(CONVNET_TESTS)): %: %.o $(CONVNET_F64) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(BENCHES): %: %.o $(HELPER_LIBRARIES) $(CONVNET) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(used_helpers) $(CONVNET) $(LIBRARY) -Wl,--as-needed $(TEST_LIBS)

# One program and one test for each host; g++ links, since what it is linked with is C++ more often than not.
$(HOST_OBJECTS): | setup-hosts
$(HOST_SHARED): FLAGS = $(call HOST_FLAGS,)
define host_rules
$(call host_objects,$(1)) $(call host_test,$(1)): FLAGS = $$(call HOST_FLAGS,$(1))
$(BUILD)/hosts/$(1): $(call host_objects,$(1)) $(BUILD)/examples/hosts/host.o $(JOB) $(CONVNET) $(LIBRARY)
	$$(call say,LINK)
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(CONVNET_LIBS)
$(BUILD)/test/hosts/test_$(1): $(call host_test,$(1)) $(filter-out %/main.o,$(call host_objects,$(1))) \
		$(HOST_SHARED) $(JOB) $(CONVNET) $(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(TEST_LIBS)
endef
$(foreach h,$(HOSTS),$(eval $(call host_rules,$(h))))

# The ONNX program and its tests.
$(ONNX_PROTOCOL).c: $(BUILD)/flags | setup-onnx
	$(call say,GEN)
	@mkdir -p $(@D)
	$(Q)$(PROTOC_C) --c_out=$(BUILD) -I $(ONNX_PROTO) onnx/onnx.proto
$(ONNX_PROTOCOL).h: $(ONNX_PROTOCOL).c
	@touch $@

$(ONNX_OBJECTS): FLAGS = $(ONNX_FLAGS)
$(ONNX_TEST_OBJECTS): FLAGS = $(ONNX_FLAGS) -Itest $$($(PKG_CONFIG) --cflags check)
$(ONNX_OBJECTS) $(ONNX_TEST_OBJECTS): $(ONNX_PROTOCOL).h
$(ONNX_PROTOCOL).o: $(ONNX_PROTOCOL).c
	$(call say,CC)
	$(Q)$(CC) $(DIALECT) -w $(ONNX_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/mskp-onnx: $(ONNX_OBJECTS) $(ONNX_PROTOCOL).o $(ONNX_JOB) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_LIBS)

$(ONNX_TESTS): %: %.o $(ONNX_HELPERS) $(filter-out $(ONNX_MAIN),$(ONNX_OBJECTS)) $(ONNX_PROTOCOL).o $(ONNX_JOB) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_TEST_LIBS)

ONNX_FUZZED = $(BUILD)/test/onnx/fuzz_onnx.o $(filter-out $(ONNX_MAIN),$(ONNX_OBJECTS)) $(ONNX_PROTOCOL).o $(ONNX_JOB) $(LIBRARY)
$(ONNX_REPLAY): $(BUILD)/test/fuzz/replay.o $(ONNX_FUZZED)
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_LIBS)

$(BUILD)/fuzzer_onnx: $(ONNX_FUZZED)
	$(call say,LINK)
	$(Q)$(LINK) -fsanitize=fuzzer $(ONNX_LIBS)

-include $(EVERY_OBJECT:.o=.d) $(HOST_OBJECTS:.o=.d) $(ONNX_OBJECTS:.o=.d) $(ONNX_TEST_OBJECTS:.o=.d)

# ---- Use ----
# Installs what is missing of these packages (Debian, Ubuntu), else says what is needed.
define install_missing
	@if command -v apt-get dpkg-query > /dev/null; then \
		missing=; \
		for p in $(1); do \
			case "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2> /dev/null)" in \
			installed) ;; *) missing="$$missing $$p" ;; esac; \
		done; \
		if [ -z "$$missing" ]; then echo "$@: nothing is missing"; exit 0; fi; \
		echo "$@: installing$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -q && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
		echo "$@: needed are $(2)"; \
		command -v $(CC) > /dev/null && $(PKG_CONFIG) --print-errors --exists openblas libcjson check && \
		echo "$@: nothing else is missing"; \
	fi
endef

setup: ## install what is missing (Debian, Ubuntu), else say what is needed
	$(call install_missing,$(PACKAGES) $(LINT_PACKAGES),a C11 compiler, GNU make, pkg-config, OpenBLAS, cJSON and Check (libcheck))

UNKNOWN_HOSTS := $(filter-out darknet libtorch dlib,$(HOSTS))
ifneq ($(UNKNOWN_HOSTS),)
$(error HOSTS=$(HOSTS): no host $(UNKNOWN_HOSTS); there are darknet, libtorch and dlib)
endif

# After setup, where both are asked for: apt-get runs once at a time.
setup-hosts: $(filter setup,$(MAKECMDGOALS))
	$(call install_missing,$(PACKAGES) $(foreach h,$(HOSTS),$(PACKAGES_$(h))),$(HOSTS) and a C++17 compiler)

setup-onnx: $(filter setup,$(MAKECMDGOALS)) $(if $(filter hosts check-hosts,$(MAKECMDGOALS)),setup-hosts)
	$(call install_missing,$(PACKAGES) $(PACKAGES_onnx),protobuf-c with its compiler and the onnx.proto of ONNX)

demo: $(BUILD)/masksparsity ## run the example: train, prune and compare on synthetic images
	$(BUILD)/masksparsity

RUN_TESTS = JOBS=$(JOBS) CC='$(CC)' BUILD='$(BUILD)' test/scripts/run-tests

check: library programs $(BUILD)/masksparsity ## build and run all tests
	@$(RUN_TESTS) $(PROGRAMS) $(SCRIPTS)

check-programs: programs
	@$(RUN_TESTS) $(PROGRAMS)

check-library: $(TESTS) $(REPLAYS)
	@$(RUN_TESTS) $(TESTS) $(REPLAYS)

hosts: $(HOSTS:%=$(BUILD)/hosts/%) ## the trainers of HOSTS with mskp (darknet libtorch dlib), installing what they need

check-hosts: $(HOSTS:%=$(BUILD)/test/hosts/test_%) $(HOSTS:%=$(BUILD)/hosts/%) ## and their tests
	@$(RUN_TESTS) $(HOSTS:%=$(BUILD)/test/hosts/test_%)

onnx: $(BUILD)/mskp-onnx ## mskp-onnx, which prunes ONNX files, installing what it needs

check-onnx: $(ONNX_TESTS) $(ONNX_REPLAY) $(if $(ONNX_SCRIPTS),$(BUILD)/mskp-onnx) ## and its tests
	@$(RUN_TESTS) $(ONNX_TESTS) $(ONNX_REPLAY) $(ONNX_SCRIPTS)

bench: $(BENCHES) ## build and run the benchmarks
	@set -e; for b in $(BENCHES); do echo "== $$b"; $$b; done

cifar: ## unpack MSKP_SHARED/data/cifar10-jpeg.tar.xz for the tests (185 MB; needs python3-pil)
	rm -rf build/cifar.part
	$(PYTHON) '$(MSKP_SHARED)/data/unpack-cifar10' build/cifar.part
	rm -rf build/cifar
	mv build/cifar.part build/cifar

# ---- Install ----
# Relative to ${prefix} wherever the folders are below it, so that the tree can be moved (pkg-config --define-prefix).
below = $(subst $(prefix)/,$${prefix}/,$(1))
FULL_VERSION = libmskp.so.$(VERSION)
INSTALLED_DOCS = LICENSE docs/mask-file.md docs/report-schema.json

install: library ## install under DESTDIR; prefix, libdir, includedir, docdir as usual
	$(INSTALL) -d '$(DESTDIR)$(includedir)' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)' '$(DESTDIR)$(docdir)'
	$(INSTALL) -m 644 include/mskp.h '$(DESTDIR)$(includedir)/mskp.h'
	$(INSTALL) -m 644 $(LIBRARY) '$(DESTDIR)$(libdir)/libmskp.a'
	$(INSTALL) -m 644 $(SHARED) '$(DESTDIR)$(libdir)/$(FULL_VERSION)'
	ln -sf $(FULL_VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libmskp.so'
	sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(call below,$(libdir))|' -e 's|@version@|$(VERSION)|' \
		-e 's|@includedir@|$(call below,$(includedir))|' -e 's|@libs@|$(LIB_LIBS)|' \
		mskp.pc.in > '$(DESTDIR)$(pkgconfigdir)/mskp.pc'
	$(INSTALL) -m 644 $(INSTALLED_DOCS) '$(DESTDIR)$(docdir)'

uninstall: ## remove what install wrote
	rm -f '$(DESTDIR)$(includedir)/mskp.h' '$(DESTDIR)$(libdir)/libmskp.a' '$(DESTDIR)$(libdir)/$(FULL_VERSION)' \
		'$(DESTDIR)$(libdir)/$(SONAME)' '$(DESTDIR)$(libdir)/libmskp.so' '$(DESTDIR)$(pkgconfigdir)/mskp.pc' \
		$(patsubst %,'$(DESTDIR)$(docdir)/%',$(notdir $(INSTALLED_DOCS)))
	if [ -d '$(DESTDIR)$(docdir)' ]; then rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(docdir)'; fi

installcheck: library ## install to a temporary place and build the consumers from there
	@$(RUN_TESTS) test/scripts/install-*

# ---- Quality ----
format: ## clang-format all sources
	$(CLANG_FORMAT) -i $(SOURCES)

lint: lint-format lint-tidy lint-warnings lint-shell ## format, clang-tidy, gcc and clang -Werror at -O0 and -O3, shellcheck

lint-format:
	@$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)

lint-tidy:
	@printf '%s\n' $(wildcard lib/*/*.c) | xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude -Ilib
	@printf '%s\n' $(filter-out examples/onnx/%,$(wildcard examples/*.c examples/*/*.c)) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude $(CONVNET_FLAGS)

lint-warnings:
	@for c in gcc clang; do for o in -O0 -O3; do \
		$(MAKE) --no-print-directory BUILD=build/lint/$$c$$o CC=$$c CFLAGS="$$o -Werror" every-object || exit; \
	done; done
	@for c in g++ clang++; do \
		$$c -std=c++17 $(filter-out %-prototypes,$(WARN)) -Werror -fsyntax-only -x c++ include/mskp.h || exit; \
	done

# Both compilers at -O0; apart from lint, because it needs the hosts' packages.
lint-hosts:
	@for c in gcc clang; do \
		$(MAKE) --no-print-directory BUILD=build/lint/hosts-$$c CC=$$c CXX=$$(echo $$c | sed 's/^g../g++/; s/^clang/clang++/') \
			CFLAGS="-O0 -Werror" CXXFLAGS="-O0 -Werror" host-objects || exit; \
	done

# Both compilers at -O0, and clang-tidy; apart from lint, because it needs the packages of mskp-onnx.
lint-onnx: $(ONNX_PROTOCOL).h
	@for c in gcc clang; do \
		$(MAKE) --no-print-directory BUILD=build/lint/onnx-$$c CC=$$c CFLAGS="-O0 -Werror" onnx-objects || exit; \
	done
	@printf '%s\n' $(wildcard examples/onnx/*.c) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude $(ONNX_FLAGS)

lint-shell:
	@shellcheck .ci/run test/scripts/*

sanitize: ## the test programs with -fsanitize=SANITIZE (address,undefined)
	CK_FORK=no $(MAKE) --no-print-directory BUILD=build/sanitize \
		CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all" check-programs

valgrind: $(TESTS) $(REPLAYS) ## the library's tests under valgrind, with fewer random networks
	@CK_FORK=no MSKP_TEST_SCALE=$${MSKP_TEST_SCALE:-0.02} \
		RUN="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite" \
		$(RUN_TESTS) $(TESTS) $(REPLAYS)

# What is found lies in build/fuzz: inputs that reach something new in corpus/NAME, those that fail in NAME-crash-* and
# the like. `build/fuzz/fuzzer_NAME FILE` runs one again.
fuzz: $(FUZZ:%=fuzz-%) ## libFuzzer on the targets FUZZ (all in test/fuzz; or onnx), each for SECONDS (60); needs clang and its libFuzzer (libclang-rt-dev)

fuzz-%:
	$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang \
		CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,$(SANITIZE) -fno-sanitize-recover=all" build/fuzz/fuzzer_$*
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/fuzzer_$* -max_total_time=$(SECONDS) -timeout=10 -entropic=0 -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
		build/fuzz/corpus/$* test/fuzz/corpus/$*

# A branch is one way out of a condition; it counts if the tests took it at least once. clang: GCOV='llvm-cov gcov'.
coverage: ## which lines and branches of lib/ its tests reach
	@if [ -d build/coverage ]; then find build/coverage -name '*.gcda' -delete; fi
	$(MAKE) --no-print-directory BUILD=build/coverage CFLAGS="-O0 -g --coverage -fprofile-update=atomic" check-library
	@$(GCOV) -nb $(patsubst $(BUILD)/%.o,build/coverage/%.gcno,$(LIB_OBJECTS)) | awk -F "[':% ]+" -v expected=$(words $(LIB_OBJECTS)) ' \
		function show(name, lines, of_lines, branches, of_branches) { \
			printf "%-28s lines %6.2f%% of %5d, branches taken %6.2f%% of %5d\n", \
				name, 100 * lines / of_lines, of_lines, 100 * branches / (of_branches ? of_branches : 1), of_branches } \
		function add(branches, of) { \
			show(file, lines, of_lines, branches, of); files++; file = ""; \
			all[1] += lines; all[2] += of_lines; all[3] += branches; all[4] += of } \
		/^File/ && $$2 ~ /^lib\/[^\/]*\/[^\/]*\.c$$/ { file = $$2 } \
		/^Lines/ && file { of_lines = $$5; lines = int($$3 * $$5 / 100 + 0.5) } \
		/^Taken/ && file { add(int($$5 * $$7 / 100 + 0.5), $$7) } \
		/^No branches/ && file { add(0, 0) } \
		END { \
			if (files == expected) show("all of lib/", all[1], all[2], all[3], all[4]); \
			else { printf "coverage: $(GCOV) told of %d of %d files\n", files, expected; exit 1 } }'

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
