# inception, the program of docs/inception.md, and the test of its networks: on the small runtime.

INCEPTION = $(BUILD)/inception
INCEPTION_OBJECTS := $(call objects,$(wildcard examples/programs/inception/*.c))
# What the test is linked with, for float and for double.
INCEPTION_NETWORKS := $(call objects,examples/programs/inception/networks.c)
INCEPTION_TEST := $(BUILD)/test/inception/test_inception

EVERY_OBJECT += $(INCEPTION_OBJECTS) $(call double,$(INCEPTION_NETWORKS)) \
	$(INCEPTION_TEST).o $(call double,$(INCEPTION_TEST)).o

all: $(INCEPTION)
check: $(INCEPTION)

$(INCEPTION): $(INCEPTION_OBJECTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

$(INCEPTION_TEST): %: %.o $(INCEPTION_NETWORKS) $(CONVNET_BRIDGE) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)

$(call double,$(INCEPTION_TEST)): %: %.o $(call double,$(INCEPTION_NETWORKS) $(CONVNET_BRIDGE)) $(RUNTIME_F64) \
		$(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS)
