# relevance, the program of docs/relevance.md, and its tests: on the small runtime, with libpng.
#
# It is a part of `make` where pkg-config finds libpng 1.6: PNG is then 1. `make PNG=` leaves it out.

ifeq ($(origin PNG)$(STAND_IN),undefined)
PNG := $(shell $(PKG_CONFIG) --exists 'libpng >= 1.6' && echo 1)
endif

RELEVANCE = $(BUILD)/relevance
RELEVANCE_OBJECTS := $(call objects,$(wildcard examples/programs/relevance/*.c))
RELEVANCE_PARTS := $(filter-out %/main.o,$(RELEVANCE_OBJECTS))
RELEVANCE_TEST := $(BUILD)/test/relevance/test_relevance
RELEVANCE_LIBS = $$($(PKG_CONFIG) --libs libpng) $(RUNTIME_LIBS)

.PHONY: relevance

all: relevance
ifneq ($(PNG),)
EVERY_OBJECT += $(RELEVANCE_OBJECTS) $(RELEVANCE_TEST).o
relevance: $(RELEVANCE)
else
relevance:
	@echo "  relevance is left out, because pkg-config finds no libpng 1.6 (or PNG is empty)"
endif

$(BUILD)/examples/programs/relevance/sheet.o: FLAGS = $(EXAMPLE_FLAGS) $$($(PKG_CONFIG) --cflags libpng)

$(RELEVANCE): $(RELEVANCE_OBJECTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RELEVANCE_LIBS)

$(RELEVANCE_TEST): %: %.o $(RELEVANCE_PARTS) $(CONVNET_BRIDGE) $(COMMON) $(RUNTIME) \
		$(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(TEST_LIBS) $(RELEVANCE_LIBS)
