# The examples that need nothing but the packages of `make setup`; examples/README.md describes them all.
#
# examples/*.c are programs of one page each, which need libc and libm alone, or libmskp-blas. examples/runtime/*.c is a
# small runtime for convolutional networks, which knows nothing of mskp; examples/bridges/convnet is the bridge between
# the two. Of examples/programs, common/*.c is shared by all programs, driver/*.c runs the stages of all training
# programs, and masksparsity/*.c is the training program for the small runtime.

RUNTIME_FLAGS = -Iexamples/runtime -pthread $$($(PKG_CONFIG) --cflags libcjson openblas)
RUNTIME_LIBS = $$($(PKG_CONFIG) --libs libcjson openblas) -pthread -lm
EXAMPLE_FLAGS = -Iexamples/bridges/convnet -Iexamples/programs $(RUNTIME_FLAGS)

RUNTIME_OBJECTS := $(call objects,$(wildcard examples/runtime/*.c))
CONVNET_BRIDGE := $(call objects,$(wildcard examples/bridges/convnet/*.c))
COMMON_OBJECTS := $(call objects,$(wildcard examples/programs/common/*.c))
DRIVER_OBJECTS := $(call objects,$(wildcard examples/programs/driver/*.c))
MASKSPARSITY_OBJECTS := $(call objects,$(wildcard examples/programs/masksparsity/*.c))
SAFETENSORS_OBJECTS := $(call objects,$(wildcard examples/programs/safetensors/*.c))

EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))
# Those that need libmskp-blas.
BLAS_EXAMPLES := $(BUILD)/filters
ifeq ($(BLAS),)
EXAMPLES := $(filter-out $(BLAS_EXAMPLES),$(EXAMPLES))
endif
MASKSPARSITY = $(BUILD)/masksparsity
SAFETENSORS = $(BUILD)/mskp-safetensors
RUNTIME = $(BUILD)/libruntime.a
RUNTIME_F64 = $(BUILD)/libruntime_f64.a
COMMON = $(BUILD)/libcommon.a
DRIVER = $(BUILD)/libdriver.a
# The part of the runtime that programs without the runtime use, too.
FILES = $(BUILD)/examples/runtime/files.o

EVERY_OBJECT += $(call objects,$(wildcard examples/*.c)) $(RUNTIME_OBJECTS) $(call double,$(RUNTIME_OBJECTS)) \
	$(CONVNET_BRIDGE) $(call double,$(CONVNET_BRIDGE)) $(COMMON_OBJECTS) $(DRIVER_OBJECTS) \
	$(MASKSPARSITY_OBJECTS) $(SAFETENSORS_OBJECTS)

.PHONY: demo

$(BUILD)/examples/%: FLAGS = $(EXAMPLE_FLAGS)
$(BUILD)/f64/examples/%: FLAGS = $(EXAMPLE_FLAGS) -DCN_DOUBLE
# The programs of one page need mskp alone. The runtime is compiled as if there were nothing beside it.
$(call objects,$(wildcard examples/*.c)): FLAGS =
$(BUILD)/examples/runtime/%: FLAGS = $(RUNTIME_FLAGS)
# It can be a part of a shared library.
$(FILES): FLAGS = -fPIC -fvisibility=hidden
$(BUILD)/f64/examples/runtime/%: FLAGS = $(RUNTIME_FLAGS) -DCN_DOUBLE

$(RUNTIME): $(RUNTIME_OBJECTS)
$(RUNTIME_F64): $(call double,$(RUNTIME_OBJECTS))
$(COMMON): $(COMMON_OBJECTS)
$(DRIVER): $(DRIVER_OBJECTS)

$(filter-out $(BLAS_EXAMPLES),$(EXAMPLES)): $(BUILD)/%: $(BUILD)/examples/%.o $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(LIB_LIBS)

$(BLAS_EXAMPLES): $(BUILD)/%: $(BUILD)/examples/%.o $(BLAS_LIBRARY) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(BLAS_LIBS) $(LIB_LIBS)

$(SAFETENSORS): $(SAFETENSORS_OBJECTS) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

$(MASKSPARSITY): $(MASKSPARSITY_OBJECTS) $(CONVNET_BRIDGE) $(DRIVER) $(COMMON) $(RUNTIME) $(LIBRARY)
	$(call say,LINK)
	$(Q)$(LINK) $(RUNTIME_LIBS)

demo: $(MASKSPARSITY) ## run the example: train, prune and compare on synthetic images
	$(MASKSPARSITY)
