# mskp over the ranks of MPI: the bridge, the training program, and their tests.
#
# MPICC is asked for the flags, so the objects are compiled by CC, and any MPI 3 will do. MPICC and MPIRUN are called
# only by the targets of this file.

MPICC ?= mpicc
MPIRUN ?= mpirun
# Where mpicc -show says something else: make MPI_FLAGS=... MPI_LIBS=...
mpi_show = $(shell $(MPICC) -show)
MPI_FLAGS = $(patsubst -I%,-isystem %,$(filter -I% -D% -pthread,$(mpi_show)))
MPI_LIBS = $(filter -L% -l% -Wl% -pthread,$(mpi_show))

MPI_BRIDGE := $(call objects,$(wildcard examples/bridges/mpi/*.c))
MPI_PROGRAM := $(call objects,$(wildcard examples/programs/mpi/*.c))
MPI_CONTRASTIVE := $(call objects,examples/programs/contrastive/ranks.c)
MPI_TEST := $(call objects,$(wildcard test/mpi/*.c))
MPI_TRAINERS := $(BUILD)/trainers/mpi $(BUILD)/trainers/contrastive-ranks
MPI_OBJECTS := $(MPI_BRIDGE) $(MPI_PROGRAM) $(MPI_CONTRASTIVE) $(MPI_TEST)
OTHER_OBJECTS += $(MPI_OBJECTS)

.PHONY: mpi check-mpi mpi-objects mpi-tests lint-mpi

mpi check-mpi: | $(filter setup-mpi,$(MAKECMDGOALS))
mpi: $(MPI_TRAINERS) ## the training programs over ranks (MPI; make setup-mpi installs it)

check-mpi: ## tests over 1 to 4 ranks, skipped without MPI
	@if command -v $(MPICC) > /dev/null && command -v $(firstword $(MPIRUN)) > /dev/null; then \
		$(MAKE) --no-print-directory mpi-tests && \
		MPIRUN='$(MPIRUN)' test/scripts/over-ranks $(BUILD)/test/mpi/test_mpi $(MPI_TRAINERS); \
	else \
		echo "skipped: check-mpi needs $(MPICC) and $(MPIRUN), which make setup-mpi installs"; \
		echo "0 passed, 0 failed, 1 skipped"; \
	fi

mpi-tests: $(BUILD)/test/mpi/test_mpi $(MPI_TRAINERS)
mpi-objects: $(MPI_OBJECTS)

$(MPI_OBJECTS): | $(filter setup-mpi,$(MAKECMDGOALS))
$(MPI_BRIDGE): FLAGS = $(MPI_FLAGS)
$(MPI_PROGRAM) $(MPI_CONTRASTIVE): FLAGS = -Iexamples/bridges -Iexamples/bridges/mpi $(EXAMPLE_FLAGS) $(MPI_FLAGS)
$(MPI_TEST): FLAGS = -Itest -Iexamples/bridges/mpi $(MPI_FLAGS)

$(BUILD)/trainers/mpi: $(MPI_PROGRAM)
$(BUILD)/trainers/contrastive-ranks: $(MPI_CONTRASTIVE) $(call paper_parts,contrastive)
$(MPI_TRAINERS): $(MPI_BRIDGE) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	@mkdir -p $(@D)
	$(Q)$(LINK) $(MPI_LIBS) $(RUNTIME_LIBS)

$(BUILD)/test/mpi/test_mpi: $(MPI_TEST) $(MPI_BRIDGE) $(BUILD)/libtest_interpreter.a $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(MPI_LIBS) $(TEST_LIBS)

# Both compilers at -O0 and at -O3, and clang-tidy. This is no part of lint, because it needs an MPI.
lint-mpi:
	@for c in gcc clang; do for o in -O0 -O3; do \
		$(MAKE) --no-print-directory BUILD=build/lint/mpi-$$c$$o CC=$$c CFLAGS="$$o -Werror" mpi-objects || exit; \
	done; done
	@printf '%s\n' $(wildcard examples/bridges/mpi/*.c examples/programs/mpi/*.c examples/programs/contrastive/ranks.c) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude -Iexamples/bridges \
		-Iexamples/bridges/mpi $(EXAMPLE_FLAGS) $(MPI_FLAGS)
