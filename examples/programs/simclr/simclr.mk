# simclr, the program of docs/simclr.md, and the test of its parts: on the small runtime.

SIMCLR = $(BUILD)/simclr
SIMCLR_OBJECTS := $(call objects,$(wildcard examples/programs/simclr/*.c))
# What the test is linked with, for float and for double.
SIMCLR_PARTS := $(filter-out %/main.o %/results.o,$(SIMCLR_OBJECTS))
SIMCLR_TEST := $(BUILD)/test/simclr/test_simclr

EVERY_OBJECT += $(SIMCLR_OBJECTS) $(call double,$(SIMCLR_PARTS)) $(SIMCLR_TEST).o $(call double,$(SIMCLR_TEST)).o

all: $(SIMCLR)

$(SIMCLR): $(SIMCLR_OBJECTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

$(SIMCLR_TEST): %: %.o $(SIMCLR_PARTS) $(CONVNET_BRIDGE) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(SIMCLR_TEST)): %: %.o $(call double,$(SIMCLR_PARTS) $(CONVNET_BRIDGE)) $(RUNTIME_F64) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)
