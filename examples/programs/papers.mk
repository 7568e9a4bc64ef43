# Programs that train, prune and judge small networks as a paper does, each with a page docs/NAME.md.
#
# Of examples/programs/NAME, main.c is the program and all other files are its parts, tested by test/NAME/test_NAME.
# (contrastive/ranks.c is a program of its own, over MPI.) The parts that compute are tested in double, too:
# PAPER_DOUBLE_NAME. relevance needs libpng, and is left out where pkg-config does not find it: PNG is then empty.

ifeq ($(origin PNG)$(STAND_IN),undefined)
PNG := $(shell $(PKG_CONFIG) --exists 'libpng >= 1.6' && echo 1)
endif

PAPERS := contrastive inception simclr $(if $(PNG),relevance)
PAPER_PROGRAMS := $(PAPERS:%=$(BUILD)/%)

paper_parts = $(call objects,$(filter-out %/main.c %/ranks.c,$(wildcard examples/programs/$1/*.c)))
PAPER_DOUBLE_contrastive := $(call paper_parts,contrastive)
PAPER_DOUBLE_inception := $(call objects,examples/programs/inception/networks.c)
PAPER_DOUBLE_simclr := $(filter-out %/results.o,$(call paper_parts,simclr))
PAPER_LIBS_relevance = $$($(PKG_CONFIG) --libs libpng)
$(BUILD)/examples/programs/relevance/sheet.o: FLAGS = $(EXAMPLE_FLAGS) $$($(PKG_CONFIG) --cflags libpng)

paper_test = $(BUILD)/test/$1/test_$1
PAPER_TESTS := $(foreach p,$(PAPERS),$(call paper_test,$p) \
	$(if $(PAPER_DOUBLE_$p),$(call double,$(call paper_test,$p))))

EVERY_OBJECT += $(foreach p,$(PAPERS),$(call objects,$(wildcard examples/programs/$p/main.c)) $(call paper_parts,$p) \
	$(call double,$(PAPER_DOUBLE_$p))) $(PAPER_TESTS:=.o)

.PHONY: $(PAPERS) relevance

all: $(PAPER_PROGRAMS) relevance
$(PAPERS): %: $(BUILD)/%
ifeq ($(PNG),)
relevance:
	@echo "  relevance is left out, because pkg-config finds no libpng 1.6 (or PNG is empty)"
endif

define paper_rules
$$(BUILD)/$1: $$(BUILD)/examples/programs/$1/main.o $$(call paper_parts,$1) $$(CONVNET_BRIDGE) $$(COMMON) $$(RUNTIME) \
		$$(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(LINK) $$(PAPER_LIBS_$1) $$(RUNTIME_LIBS)

$$(call paper_test,$1): $$(call paper_test,$1).o $$(call paper_parts,$1) $$(CONVNET_BRIDGE) $$(COMMON) $$(RUNTIME) \
		$$(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(LINK) $$(TEST_LIBS) $$(PAPER_LIBS_$1)

$$(call double,$$(call paper_test,$1)): $$(call double,$$(call paper_test,$1).o $$(PAPER_DOUBLE_$1)) \
		$$(call double,$$(CONVNET_BRIDGE)) $$(RUNTIME_F64) $$(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(LINK) $$(TEST_LIBS)
endef
$(foreach p,$(PAPERS),$(eval $(call paper_rules,$p)))
