# contrastive, the program of docs/contrastive.md, and its tests: on the small runtime.
#
# Of the folder, main.c is the program over one process. The other files are its parts, which are compiled for float and
# for double, because the test of the parts is.

CONTRASTIVE = $(BUILD)/contrastive
CONTRASTIVE_PARTS := $(call objects,$(filter-out %/main.c,$(wildcard examples/programs/contrastive/*.c)))
CONTRASTIVE_MAIN := $(call objects,examples/programs/contrastive/main.c)
CONTRASTIVE_TEST := $(BUILD)/test/contrastive/test_contrastive

EVERY_OBJECT += $(CONTRASTIVE_PARTS) $(call double,$(CONTRASTIVE_PARTS)) $(CONTRASTIVE_MAIN) \
	$(CONTRASTIVE_TEST).o $(call double,$(CONTRASTIVE_TEST)).o

all: $(CONTRASTIVE)

$(CONTRASTIVE): $(CONTRASTIVE_MAIN) $(CONTRASTIVE_PARTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

$(CONTRASTIVE_TEST): %: %.o $(CONTRASTIVE_PARTS) $(RUNTIME)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(CONTRASTIVE_TEST)): %: %.o $(call double,$(CONTRASTIVE_PARTS)) $(RUNTIME_F64)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)
