# The bridges to trainers that are packages of their own, a program for each, and their tests.
#
# For each NAME of BRIDGES, examples/bridges/NAME is the bridge, examples/programs/trainers/NAME the program and
# test/bridges/test_NAME the test. g++ links, since what is linked is C++ more often than not.
#
# A new trainer goes into three lists: BRIDGES in the Makefile; PACKAGES_NAME in test/setup.mk; and here FLAGS_NAME,
# LIBS_NAME and the names in UNKNOWN_BRIDGES with their message. The help of `bridges` below and docs name them, too.

TRAINERS := examples/programs/trainers
# The headers of the trainers are not ours to mend: -isystem.
BRIDGE_FLAGS = $(addprefix -I,$(TRAINERS) examples/bridges $(if $(1),$(TRAINERS)/$(1) examples/bridges/$(1)) \
	examples/programs test) \
	$(RUNTIME_FLAGS) $$($(PKG_CONFIG) --cflags check) $(FLAGS_$(1))
FLAGS_darknet = -isystem /usr/lib/darknet/include
LIBS_darknet = -L/usr/lib/darknet -Wl,-rpath,/usr/lib/darknet -ldarknet
FLAGS_libtorch = -isystem /usr/include/torch/csrc/api/include
LIBS_libtorch = -ltorch -ltorch_cpu -lc10
FLAGS_dlib = $$($(PKG_CONFIG) --cflags dlib-1)
LIBS_dlib = $$($(PKG_CONFIG) --libs dlib-1)

UNKNOWN_BRIDGES := $(filter-out darknet libtorch dlib,$(BRIDGES))
ifneq ($(UNKNOWN_BRIDGES),)
$(error BRIDGES=$(BRIDGES): no bridge $(UNKNOWN_BRIDGES); there are darknet, libtorch and dlib)
endif

bridge_source = $(call objects,$(wildcard examples/bridges/$(1)/*.c))
bridge_program = $(call objects,$(wildcard $(TRAINERS)/$(1)/*.c $(TRAINERS)/$(1)/*.cpp))
bridge_test = $(call objects,$(wildcard test/bridges/test_$(1).c test/bridges/test_$(1).cpp))
BRIDGE_LAWS := $(call objects,test/bridges/laws.c)
BRIDGE_OBJECTS := $(BRIDGE_LAWS) \
	$(foreach h,$(BRIDGES),$(call bridge_source,$(h)) $(call bridge_program,$(h)) $(call bridge_test,$(h)))
BRIDGE_PROGRAMS := $(BRIDGES:%=$(BUILD)/trainers/%)
BRIDGE_TESTS := $(BRIDGES:%=$(BUILD)/test/bridges/test_%)
OTHER_OBJECTS += $(BRIDGE_OBJECTS)

.PHONY: bridges check-bridges bridge-objects

bridges: $(BRIDGE_PROGRAMS) ## the trainers of BRIDGES with mskp (darknet libtorch dlib), installing what they need

check-bridges: $(BRIDGE_TESTS) $(BRIDGE_PROGRAMS) ## and their tests
	@$(RUN_TESTS) $(BRIDGE_TESTS) test/bridges/check-trainers

bridge-objects: $(BRIDGE_OBJECTS)

$(BRIDGE_OBJECTS): | setup-bridges
$(BRIDGE_LAWS): FLAGS = $(call BRIDGE_FLAGS,)
define bridge_rules
$(call bridge_source,$(1)) $(call bridge_program,$(1)) $(call bridge_test,$(1)): FLAGS = $$(call BRIDGE_FLAGS,$(1))
$(BUILD)/trainers/$(1): $(call bridge_program,$(1)) $(call bridge_source,$(1)) $(DRIVER) $(COMMON) $(RUNTIME) $(LIBRARY)
	$$(call say,LINK)
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(RUNTIME_LIBS)
$(BUILD)/test/bridges/test_$(1): $(call bridge_test,$(1)) $(call bridge_source,$(1)) $(BRIDGE_LAWS) \
		$(RUNTIME) $(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(TEST_LIBS)
endef
$(foreach h,$(BRIDGES),$(eval $(call bridge_rules,$(h))))

# The names of these targets until version 0.1.
.PHONY: hosts check-hosts lint-hosts
hosts: bridges
check-hosts: check-bridges
lint-hosts: lint-bridges
