# mskp - GNU make. `make help` lists the targets; everything that is built goes to $(BUILD).
#
# This file holds what a user sets and what all parts share. The parts are files of their own, each in the folder that
# it builds: lib/library.mk, lib/install.mk, lib/blas/blas.mk, examples/examples.mk, examples/bridges/bridges.mk,
# examples/bridges/mpi/mpi.mk, examples/bridges/onnx/onnx.mk, examples/programs/papers.mk,
# examples/programs/programs.mk, docs/packaging/packaging.mk, and test/test.mk, test/lint.mk, test/machines.mk and
# test/setup.mk. New source files need no edit of any of them.

BUILD ?= build
# The machine that CC compiles for decides what a shared library is, and which archiver can read the objects.
TARGET := $(shell $(CC) -dumpmachine 2>/dev/null)
ifeq ($(origin AR),default)
AR := $(or $(shell $(CC) -print-prog-name=ar 2>/dev/null),$(AR))
endif
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
# The trainers that `make bridges` builds. BRIDGES=dlib is one of them.
BRIDGES ?= darknet libtorch dlib
# What `make fuzz` searches, and for how many seconds each.
FUZZ ?= $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
SECONDS ?= 60

ifeq ($(origin PREFIX),command line)
$(error PREFIX has no effect; the variable is prefix)
endif
prefix = /usr/local
exec_prefix = $(prefix)
bindir = $(exec_prefix)/bin
libdir = $(exec_prefix)/lib
includedir = $(prefix)/include
datarootdir = $(prefix)/share
docdir = $(datarootdir)/doc/mskp
pkgconfigdir = $(libdir)/pkgconfig
cmakedir = $(libdir)/cmake/mskp
mandir = $(datarootdir)/man
# With RELOCATABLE=1, the files of pkg-config say where the tree is relative to their own place.
RELOCATABLE ?=

# An OpenBLAS that is older than the processor takes kernels that any processor can run, several times slower. What is
# run from here is told which to take.
CPU_FLAGS := $(if $(filter x86_64,$(shell uname -m)),$(shell sed -n '/^flags/{s/.*://p;q}' /proc/cpuinfo 2>/dev/null))
OPENBLAS_CORETYPE ?= $(if $(filter-out $(CPU_FLAGS),avx512f avx512bw avx512dq avx512vl),$(if \
	$(filter-out $(CPU_FLAGS),avx2 fma),,Haswell),SkylakeX)
ifneq ($(OPENBLAS_CORETYPE),)
export OPENBLAS_CORETYPE
endif

# `make V=1` shows the commands in full.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

# ---- How everything is compiled ----
# Arithmetic is reproducible: no contraction, no -ffast-math. -fno-math-errno changes no result; sqrt becomes one
# instruction.
WARN = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# Where off_t has 32 bits by default, files may still be longer.
DIALECT = -std=c11 -ffp-contract=off -fno-math-errno -D_FILE_OFFSET_BITS=64
# In mingw's headers, isfinite and its kind contain a branch for float that narrows a double, and is not taken.
WARN += $(if $(findstring mingw,$(TARGET)),-Wno-float-conversion)
COMPILE = $(CC) $(DIALECT) $(WARN) -Iinclude $(FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
LINK = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -Wl,--as-needed
CXX_DIALECT = -std=c++17 -ffp-contract=off -D_FILE_OFFSET_BITS=64
CXX_WARN = $(filter-out %-prototypes,$(WARN))
CXX_COMPILE = $(CXX) $(CXX_DIALECT) $(CXX_WARN) -Iinclude $(FLAGS) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# The objects of sources, and those that are compiled for double instead of float.
objects = $(addprefix $(BUILD)/,$(patsubst %.c,%.o,$(patsubst %.cpp,%.o,$(1))))
double = $(patsubst $(BUILD)/%,$(BUILD)/f64/%,$(1))

# Each part adds to these: objects that need only the packages of `make setup`, and objects with packages of their own.
EVERY_OBJECT :=
OTHER_OBJECTS :=

.DEFAULT_GOAL := all
.PHONY: all every-object docs clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:

include test/setup.mk
include lib/library.mk
include lib/install.mk
include lib/blas/blas.mk
include examples/examples.mk
include examples/programs/papers.mk
include examples/bridges/bridges.mk
include examples/bridges/mpi/mpi.mk
include examples/bridges/pytorch/pytorch.mk
include examples/bridges/onnx/onnx.mk
include examples/programs/programs.mk
include test/test.mk
include test/lint.mk
include test/machines.mk
include docs/packaging/packaging.mk

all: library $(EXAMPLES) $(MASKSPARSITY) $(SAFETENSORS) ## the libraries (static and shared) and the examples
every-object: $(EVERY_OBJECT)

# Everything is built anew when the compiler or its flags change, archives also when a source file comes or goes. The
# flags are taken here (:=), because a target that adds to CFLAGS hands that on to all that it needs.
$(BUILD)/flags: STAMP := $(CC) $(DIALECT) $(WARN) $(CPPFLAGS) $(CFLAGS) $(MEASURE) $(LDFLAGS)
$(BUILD)/cxxflags: STAMP := $(CXX) $(CXX_DIALECT) $(CXX_WARN) $(CPPFLAGS) $(CXXFLAGS) $(LDFLAGS)
$(BUILD)/sources: STAMP := $(EVERY_OBJECT)
$(BUILD)/flags $(BUILD)/cxxflags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(STAMP))' | cmp -s - $@ || echo '$(subst ','\'',$(STAMP))' > $@

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

$(BUILD)/%.a: $(BUILD)/sources
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) qcs $@ $(filter %.o,$^)

-include $(EVERY_OBJECT:.o=.d) $(OTHER_OBJECTS:.o=.d)

docs: ## the reference of the API as HTML, in build/docs/html (needs doxygen)
	@docs/api/build '$(BUILD)/docs'

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
