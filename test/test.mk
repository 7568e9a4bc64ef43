# The tests, benchmarks and fuzz targets; test/README.md says what each folder is for.
#
# test/library/test_*.c, test/blas/test_*.c and test/bench/*.c are programs. They are linked with those HELPERS whose
# headers they include. test/runtime/test_*.c and test/bridges/test_convnet.c are programs that are built for float and
# for double.
# test/torture/test_NAME.c runs the program NAME (test_resume.c: masksparsity), linked once more, with
# test/torture/shim.c.
# Each test/scripts/check-* is one test: exit status 0 passed, 77 skipped. test/fuzz/fuzz_NAME.c is a libFuzzer target:
# `make check` runs it over test/fuzz/corpus/NAME, and `make fuzz` lets it search.

HELPERS := cutting guarded_memory interpreter random_calls small_network torch zoo

# Optional data of the tests: a folder with data/ in it, and CIFAR-10 in its own binary format, which `make cifar`
# unpacks.
MSKP_SHARED ?= $(wildcard ../shared)
MSKP_CIFAR ?= $(wildcard build/cifar)
export MSKP_SHARED MSKP_CIFAR
ifeq ($(MSKP_SHARED),)
unexport MSKP_SHARED
endif
ifeq ($(MSKP_CIFAR),)
unexport MSKP_CIFAR
endif

TEST_FLAGS = -Ilib -Itest $(EXAMPLE_FLAGS) $$($(PKG_CONFIG) --cflags check)
TEST_LIBS = $$($(PKG_CONFIG) --libs check) $(RUNTIME_LIBS)
HELPER_OBJECTS := $(call objects,$(wildcard $(HELPERS:%=test/%/*.c)))
# Where there are no Check, cJSON and OpenBLAS that fit the compiler, test/stand_in takes the place of Check. The tests
# of the library that need no cJSON are built with it.
ifneq ($(STAND_IN),)
HELPERS := $(filter-out random_calls,$(HELPERS)) stand_in
HELPER_OBJECTS := $(filter-out $(call objects,$(shell grep -lE 'cJSON|"dump.h"' test/interpreter/*.c)),\
	$(call objects,$(wildcard $(HELPERS:%=test/%/*.c))))
TEST_FLAGS = -Ilib -Itest -Itest/stand_in -pthread
TEST_LIBS = -pthread -lm
endif
HELPER_LIBRARIES := $(HELPERS:%=$(BUILD)/libtest_%.a)
BENCH_TIMING := $(BUILD)/test/bench/timing.o
# What those share that train: images, steps, and the penalties of other papers.
BENCH_TRAINING := $(BUILD)/test/bench/training.o $(BUILD)/test/bench/terms.o

TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/library/test_*.c))
REPLAYS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/fuzz/fuzz_*.c))
RUNTIME_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/runtime/test_*.c))
CONVNET_TEST := $(BUILD)/test/bridges/test_convnet
LIMITS_TEST := $(BUILD)/test/limits/test_limits
VECTORS_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/vectors/test_*.c))
ifneq ($(STAND_IN),)
TESTS := $(filter-out %/test_report,$(TESTS))
REPLAYS := $(filter %/fuzz_mask %/fuzz_pruner,$(REPLAYS))
endif
# The tests of libmskp-blas, and the benchmarks that need it.
BLAS_TESTS := $(if $(BLAS),$(patsubst %.c,$(BUILD)/%,$(wildcard test/blas/test_*.c)))
BLAS_BENCH := $(BUILD)/test/bench/filters $(BUILD)/test/bench/accuracy $(BUILD)/test/bench/study
BENCHES := $(filter-out $(BENCH_TIMING:.o=) $(BENCH_TRAINING:.o=) $(if $(BLAS),,$(BLAS_BENCH)),\
	$(patsubst %.c,$(BUILD)/%,$(wildcard test/bench/*.c)))
TORTURE_TESTS := $(BUILD)/test/torture/test_masksparsity $(BUILD)/test/torture/test_resume
TORTURE := $(call objects,test/torture/torture.c)
LIBRARY_TESTS := $(TESTS) $(LIMITS_TEST) $(VECTORS_TESTS) $(REPLAYS) $(BLAS_TESTS)
PROGRAMS := $(LIBRARY_TESTS) $(RUNTIME_TESTS) $(CONVNET_TEST) \
	$(call double,$(RUNTIME_TESTS) $(CONVNET_TEST)) $(TORTURE_TESTS) $(PAPER_TESTS)
SCRIPTS := $(wildcard test/scripts/check-*)

TEST_SOURCES := $(foreach f,library limits vectors fuzz bench torture stand_in,$(wildcard test/$(f)/*.c))
EVERY_OBJECT += $(HELPER_OBJECTS) $(call objects,$(TEST_SOURCES)) \
	$(addsuffix .o,$(BLAS_TESTS) $(RUNTIME_TESTS) $(CONVNET_TEST) $(call double,$(RUNTIME_TESTS) $(CONVNET_TEST)))

RUN_TESTS = JOBS=$(JOBS) CC='$(CC)' BUILD='$(BUILD)' test/scripts/run-tests

.PHONY: programs check check-programs check-library check-foreign check-torch check-torture sanitize valgrind \
	coverage coverage-mcdc bench fuzz cifar

programs: $(PROGRAMS)

check: library $(if $(BLAS),blas) programs $(MASKSPARSITY) $(SAFETENSORS) $(PAPER_PROGRAMS) ## build and run all tests
	@$(RUN_TESTS) $(PROGRAMS) $(SCRIPTS)

check-programs: programs
	@$(RUN_TESTS) $(PROGRAMS)

# On another machine: without what trains networks, without libmskp-blas, and without LEFT_OUT.
FOREIGN_TESTS := $(filter-out %/test_convnet $(BLAS_TESTS) $(LEFT_OUT),$(LIBRARY_TESTS) $(RUNTIME_TESTS) \
	$(call double,$(RUNTIME_TESTS)))
check-foreign: $(FOREIGN_TESTS)
	@$(RUN_TESTS) $(FOREIGN_TESTS)

check-library: $(LIBRARY_TESTS)
	@$(RUN_TESTS) $(LIBRARY_TESTS)

check-torch: library $(if $(PNG),$(BUILD)/relevance) ## scores, relevance against others' (PYTHON with torch; minutes)
	@$(PYTHON) test/torch/check-relevance $(BUILD) || test $$? = 77
	@$(PYTHON) test/torch/check-importance $(BUILD) || test $$? = 77
	@$(PYTHON) test/torch/make-contrast test/simclr/nt_xent.h || test $$? = 77

check-torture: $(TORTURE_TESTS) $(ONNX_TORTURE) ## every call of masksparsity and mskp-onnx fails (minutes)
	@MSKP_TEST_SCALE=1000 $(RUN_TESTS) $(TORTURE_TESTS) $(ONNX_TORTURE)

# ---- Programs ----
$(BUILD)/test/%: FLAGS = $(TEST_FLAGS)
$(BUILD)/f64/test/%: FLAGS = $(TEST_FLAGS) -DCN_DOUBLE

$(foreach h,$(HELPERS),$(eval $(BUILD)/libtest_$(h).a: $(filter $(BUILD)/test/$(h)/%,$(HELPER_OBJECTS))))

# The folders whose headers the program includes; they need not agree on names among each other.
used_helpers = $(foreach h,$(HELPERS),$(if $(shell grep -l 'test/$(h)/' $(<:.o=.d)),$(BUILD)/libtest_$(h).a))
LINK_TEST = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(used_helpers) -Wl,--end-group $(filter-out $(HELPER_LIBRARIES),$(filter %.a,$^)) -Wl,--as-needed

$(TESTS): %: %.o $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

$(BLAS_TESTS): %: %.o $(HELPER_LIBRARIES) $(BLAS_LIBRARY) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

# Of the examples, what reads files or words that come from outside.
FUZZED = $(if $(STAND_IN),,$(DRIVER) $(COMMON) $(RUNTIME))

# A fuzz target over its corpus (gcc can), and as libFuzzer's own program (clang alone).
$(REPLAYS): %: %.o $(BUILD)/test/fuzz/replay.o $(FUZZED) $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

# What one target reads is a part of a program.
$(BUILD)/test/fuzz/fuzz_layers $(BUILD)/fuzzer_layers: $(BUILD)/examples/programs/safetensors/describe.o

$(BUILD)/fuzzer_%: $(BUILD)/test/fuzz/fuzz_%.o $(FUZZED) $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) -fsanitize=fuzzer $(TEST_LIBS)

# The library once more, with small limits (lib/base/limits.h), and the program that runs into them.
limits = $(patsubst $(BUILD)/%,$(BUILD)/limits/%,$(1))
OTHER_OBJECTS += $(call limits,$(LIB_OBJECTS))
$(BUILD)/limits/lib/%: FLAGS = $(LIB_FLAGS) -DMSKP_TEST_LIMITS
$(BUILD)/limits/lib/%.o: override CFLAGS += -O0 $(MEASURE)

$(BUILD)/limits/%.o: %.c $(BUILD)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(COMPILE)

$(BUILD)/limits/libmskp.a: $(call limits,$(LIB_OBJECTS))

$(LIMITS_TEST): %: %.o $(BUILD)/libtest_guarded_memory.a $(STAND_IN:%=$(BUILD)/libtest_stand_in.a) \
		$(BUILD)/limits/libmskp.a
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

# One object of the library once more, in which an environment variable says how wide loops may be, and the programs
# that go through all widths.
CHOOSING_PROCESSOR := $(BUILD)/vectors/lib/base/processor.o
OTHER_OBJECTS += $(CHOOSING_PROCESSOR)
$(CHOOSING_PROCESSOR): FLAGS = $(LIB_FLAGS) -DMSKP_TEST_PROCESSOR
$(CHOOSING_PROCESSOR): override CFLAGS += $(MEASURE)

$(BUILD)/vectors/%.o: %.c $(BUILD)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(COMPILE)

$(VECTORS_TESTS): %: %.o $(CHOOSING_PROCESSOR) $(HELPER_LIBRARIES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

# One program with the library as two files; test/scripts/install-amalgamation runs it.
$(AMALGAMATION)/test_laws: $(BUILD)/test/library/test_laws.o $(HELPER_LIBRARIES) $(AMALGAMATION)/mskp.o
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

# The runtime is tested without the library: it must not need it.
$(RUNTIME_TESTS): %: %.o $(RUNTIME)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(RUNTIME_TESTS)): %: %.o $(RUNTIME_F64)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(CONVNET_TEST): %: %.o $(CONVNET_BRIDGE) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(CONVNET_TEST)): %: %.o $(call double,$(CONVNET_BRIDGE)) $(RUNTIME_F64) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

# A program whose own calls of these functions go through test/torture/shim.c.
SHIM := $(call objects,test/torture/shim.c)
comma := ,
WRAP = $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup open open64 openat openat64 fstat fstat64 read \
	write fsync rename close unlink clock_gettime)

$(BUILD)/test/torture/masksparsity: $(SHIM) $(MASKSPARSITY_OBJECTS) $(CONVNET_BRIDGE) $(DRIVER) $(COMMON) $(RUNTIME) \
		$(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(WRAP) $(RUNTIME_LIBS)

$(TORTURE_TESTS): %: %.o $(TORTURE) $(RUNTIME) | $(BUILD)/test/torture/masksparsity
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(BUILD)/test/torture/mskp-onnx: $(SHIM) $(ONNX_OBJECTS) $(ONNX_PROTOCOL).o $(COMMON) $(FILES) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(WRAP) $(ONNX_LIBS)

$(ONNX_TORTURE): %: %.o $(TORTURE) $(ONNX_HELPERS) | $(BUILD)/test/torture/mskp-onnx
	$(call say,LINK)
	$(Q)$(LINK) $(ONNX_TEST_LIBS)

$(BUILD)/test/bench/study $(BUILD)/test/bench/once: $(BENCH_TRAINING)
$(BENCHES): %: %.o $(BENCH_TIMING) $(HELPER_LIBRARIES) $(CONVNET_BRIDGE) $(RUNTIME) \
		$(if $(BLAS),$(BLAS_LIBRARY)) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK_TEST) $(TEST_LIBS)

# ---- Other ways to run them ----
sanitize: ## the test programs with -fsanitize=SANITIZE (address,undefined)
	CK_FORK=no $(MAKE) --no-print-directory BUILD=build/sanitize \
		CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all" check-programs

# The tests of libmskp-blas are left out: OpenBLAS takes longer under valgrind than all other tests together. Sanitizers
# see them.
VALGRIND_TESTS = $(filter-out $(BLAS_TESTS),$(LIBRARY_TESTS))
valgrind: $(VALGRIND_TESTS) ## the library's tests under valgrind, with fewer random networks
	@CK_FORK=no MSKP_TEST_SCALE=$${MSKP_TEST_SCALE:-0.02} \
		RUN="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite" \
		$(RUN_TESTS) $(VALGRIND_TESTS)

bench: $(BENCHES) ## build and run the benchmarks
	@set -e; for b in $(BENCHES); do echo "== $$b"; $$b; done

# What is found lies in build/fuzz: inputs that reach something new in corpus/NAME, those that fail in NAME-crash-* and
# the like. `build/fuzz/fuzzer_NAME FILE` runs one again. It needs clang and its libFuzzer (libclang-rt-dev).
#
# libFuzzer follows what the library and the examples do, and not what the tests do with it. Comparisons, from which it
# learns words and numbers, are followed where texts and files are read. The rest has too many: they took 40 % of the
# time of the graph's fuzzer, whose bytes are choices and not numbers to be compared.
ifdef FUZZING
$(BUILD)/lib/% $(BUILD)/examples/%: override CFLAGS += -fsanitize=fuzzer-no-link
$(BUILD)/lib/%: override CFLAGS += -fno-sanitize-coverage=trace-cmp
$(BUILD)/lib/mask/% $(BUILD)/lib/pruner/%: override CFLAGS += -fsanitize-coverage=trace-cmp
endif

# Longer inputs are larger networks, which take longer and reach nothing else.
fuzz-graph fuzz-report fuzz-compose: FUZZ_OPTIONS = -max_len=256

fuzz: $(FUZZ:%=fuzz-%) ## libFuzzer (clang) on FUZZ (all of test/fuzz; or onnx, onnx_options), each for SECONDS (60)

fuzz-%:
	$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang \
		CFLAGS="-O2 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all" FUZZING=1 \
		build/fuzz/fuzzer_$*
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/fuzzer_$* -max_total_time=$(SECONDS) -timeout=10 -entropic=0 -print_final_stats=1 \
		$(FUZZ_OPTIONS) -artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* test/fuzz/corpus/$*

# A branch is one way out of a condition; it counts if the tests took it at least once. clang: GCOV='llvm-cov gcov'.
# test/coverage/untaken lists those that are not taken, with reasons. Only the library is measured, so the tests are
# compiled as usual. Counters of objects that were copied from another checkout would be written there.
COVERAGE = build/coverage
coverage: ## which lines and branches of lib/ its tests reach, compared with test/coverage/untaken
	@if [ -d $(COVERAGE) ]; then find $(COVERAGE) -name '*.gcda' -delete; fi
	$(MAKE) --no-print-directory BUILD=$(COVERAGE) CFLAGS="-O2 -g" LDFLAGS=-fprofile-arcs \
		MEASURE="-O0 --coverage -fprofile-update=atomic" check-library
	@GCOV='$(GCOV)' test/scripts/compare-branches test/coverage/untaken $(COVERAGE) $(COVERAGE)/limits $(COVERAGE)/vectors

# MC/DC: each condition of a decision was seen to decide it alone. It needs clang 19 and its LLVM. The library is always
# compiled anew, because clang says which decisions it does not measure.
MCDC_CC ?= clang-19
MCDC_LEAST ?= 95
MCDC_MAKE = CK_FORK=no LLVM_PROFILE_FILE='$(CURDIR)/build/mcdc/profile/%2m.profraw' $(MAKE) --no-print-directory \
	BUILD=build/mcdc CC=$(MCDC_CC) CFLAGS="-O2 -g" LDFLAGS=-fprofile-instr-generate \
	MEASURE="-O1 -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc"
coverage-mcdc: ## which conditions of lib/ its tests show to decide alone (clang-19, llvm-19)
	+@if ! command -v $(MCDC_CC) > /dev/null; then echo "skipped: MC/DC needs clang-19 and llvm-19"; else \
		rm -rf build/mcdc/lib build/mcdc/profile && mkdir -p build/mcdc && \
		$(MCDC_MAKE) library $(if $(BLAS),blas) 2> build/mcdc/warnings && $(MCDC_MAKE) check-library && \
		test/scripts/report-mcdc build/mcdc $(MCDC_LEAST); \
	fi

cifar: ## unpack MSKP_SHARED/data/cifar10-jpeg.tar.xz for the tests (185 MB; needs python3-pil)
	rm -rf build/cifar.part
	$(PYTHON) '$(MSKP_SHARED)/data/unpack-cifar10' build/cifar.part
	rm -rf build/cifar
	mv build/cifar.part build/cifar
