# contrastive, the program of docs/contrastive.md, and its tests: on the small runtime.
#
# Of the folder, main.c is the program of one process and ranks.c the one over MPI, which `make mpi` builds. The other
# files are their parts, which are compiled for float and for double, because the test of the parts is.

CONTRASTIVE_FOLDER := examples/programs/contrastive
CONTRASTIVE = $(BUILD)/contrastive
CONTRASTIVE_RANKS = $(BUILD)/trainers/contrastive-ranks
CONTRASTIVE_PARTS := $(call objects,$(filter-out %/main.c %/ranks.c,$(wildcard $(CONTRASTIVE_FOLDER)/*.c)))
CONTRASTIVE_MAIN := $(call objects,$(CONTRASTIVE_FOLDER)/main.c)
CONTRASTIVE_MPI := $(call objects,$(CONTRASTIVE_FOLDER)/ranks.c)
CONTRASTIVE_TEST := $(BUILD)/test/contrastive/test_contrastive

EVERY_OBJECT += $(CONTRASTIVE_PARTS) $(call double,$(CONTRASTIVE_PARTS)) $(CONTRASTIVE_MAIN) \
	$(CONTRASTIVE_TEST).o $(call double,$(CONTRASTIVE_TEST)).o
OTHER_OBJECTS += $(CONTRASTIVE_MPI)

all: $(CONTRASTIVE)
mpi mpi-tests: $(CONTRASTIVE_RANKS)
mpi-objects: $(CONTRASTIVE_MPI)

$(CONTRASTIVE): $(CONTRASTIVE_MAIN) $(CONTRASTIVE_PARTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

$(CONTRASTIVE_TEST): %: %.o $(CONTRASTIVE_PARTS) $(CONVNET_BRIDGE) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(CONTRASTIVE_TEST)): %: %.o $(call double,$(CONTRASTIVE_PARTS) $(CONVNET_BRIDGE)) $(RUNTIME_F64) \
		$(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(CONTRASTIVE_MPI): | $(filter setup-mpi,$(MAKECMDGOALS))
$(CONTRASTIVE_MPI): FLAGS = -Iexamples/bridges -Iexamples/bridges/mpi $(EXAMPLE_FLAGS) $(MPI_FLAGS)

$(CONTRASTIVE_RANKS): $(CONTRASTIVE_MPI) $(MPI_BRIDGE) $(CONTRASTIVE_PARTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) \
		$(LIBRARY)
	$(call say,LINK)
	@mkdir -p $(@D)
	$(Q)$(LINK) $(MPI_LIBS) $(RUNTIME_LIBS)
