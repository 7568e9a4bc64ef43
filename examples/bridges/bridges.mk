# The bridges to trainers that are packages of their own, a program for each, and their tests.
#
# For each NAME of HOSTS, examples/bridges/NAME is the bridge, examples/programs/trainers/NAME the program and
# test/bridges/test_NAME the test. g++ links, since what is linked is C++ more often than not.
#
# A new trainer goes into three lists: HOSTS in the Makefile; PACKAGES_NAME in test/setup.mk; and here FLAGS_NAME,
# LIBS_NAME and the names in UNKNOWN_HOSTS with their message. The help of `hosts` below and docs name them, too.

TRAINERS := examples/programs/trainers
# The headers of the trainers are not ours to mend: -isystem.
HOST_FLAGS = $(addprefix -I,$(TRAINERS) examples/bridges $(if $(1),$(TRAINERS)/$(1) examples/bridges/$(1)) \
	examples/programs test) \
	$(RUNTIME_FLAGS) $$($(PKG_CONFIG) --cflags check) $(FLAGS_$(1))
FLAGS_darknet = -isystem /usr/lib/darknet/include
LIBS_darknet = -L/usr/lib/darknet -Wl,-rpath,/usr/lib/darknet -ldarknet
FLAGS_libtorch = -isystem /usr/include/torch/csrc/api/include
LIBS_libtorch = -ltorch -ltorch_cpu -lc10
FLAGS_dlib = $$($(PKG_CONFIG) --cflags dlib-1)
LIBS_dlib = $$($(PKG_CONFIG) --libs dlib-1)

UNKNOWN_HOSTS := $(filter-out darknet libtorch dlib,$(HOSTS))
ifneq ($(UNKNOWN_HOSTS),)
$(error HOSTS=$(HOSTS): no host $(UNKNOWN_HOSTS); there are darknet, libtorch and dlib)
endif

host_bridge = $(call objects,$(wildcard examples/bridges/$(1)/*.c))
host_program = $(call objects,$(wildcard $(TRAINERS)/$(1)/*.c $(TRAINERS)/$(1)/*.cpp))
host_test = $(call objects,$(wildcard test/bridges/test_$(1).c test/bridges/test_$(1).cpp))
HOST_LAWS := $(call objects,test/bridges/laws.c)
HOST_OBJECTS := $(HOST_LAWS) \
	$(foreach h,$(HOSTS),$(call host_bridge,$(h)) $(call host_program,$(h)) $(call host_test,$(h)))
HOST_PROGRAMS := $(HOSTS:%=$(BUILD)/hosts/%)
HOST_TESTS := $(HOSTS:%=$(BUILD)/test/bridges/test_%)
OTHER_OBJECTS += $(HOST_OBJECTS)

.PHONY: hosts check-hosts host-objects

hosts: $(HOST_PROGRAMS) ## the trainers of HOSTS with mskp (darknet libtorch dlib), installing what they need

check-hosts: $(HOST_TESTS) $(HOST_PROGRAMS) ## and their tests
	@$(RUN_TESTS) $(HOST_TESTS)

host-objects: $(HOST_OBJECTS)

$(HOST_OBJECTS): | setup-hosts
$(HOST_LAWS): FLAGS = $(call HOST_FLAGS,)
define host_rules
$(call host_bridge,$(1)) $(call host_program,$(1)) $(call host_test,$(1)): FLAGS = $$(call HOST_FLAGS,$(1))
$(BUILD)/hosts/$(1): $(call host_program,$(1)) $(call host_bridge,$(1)) $(DRIVER) $(COMMON) $(RUNTIME) $(LIBRARY)
	$$(call say,LINK)
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(RUNTIME_LIBS)
$(BUILD)/test/bridges/test_$(1): $(call host_test,$(1)) $(call host_bridge,$(1)) $(HOST_LAWS) $(RUNTIME) $(LIBRARY)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1)) $$(TEST_LIBS)
endef
$(foreach h,$(HOSTS),$(eval $(call host_rules,$(h))))
