# Other machines, compilers and libraries of C, and what the shared library promises. Where a tool is missing, the
# target says so and counts as skipped; `make setup-machines` installs them all.

MACHINE_PACKAGES = qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-i686-linux-gnu libc6-dev-i386-cross \
	gcc-mingw-w64-x86-64-win32 musl-tools clang abigail-tools binutils pkg-config

# What runs work of the library in the caller's threads.
PARALLEL_TESTS := $(patsubst %.c,$(BUILD)/%,$(shell grep -l parallel_for test/library/test_*.c))
MINGW ?= x86_64-w64-mingw32-gcc

.PHONY: setup-machines check-machines check-s390x check-i386 check-armhf check-musl check-msan check-tsan check-mingw \
	check-parallel abi-record check-abi check-reproducible

setup-machines: $(filter setup,$(MAKECMDGOALS))
	$(call install_missing,$(PACKAGES) $(MACHINE_PACKAGES),cross compilers for s390x and i386 and for mingw$(comma) \
		qemu-user$(comma) musl$(comma) clang and libabigail)
comma := ,

# Runs the rest of the line if the tool is there, else says that it is not.
with_tool = @command -v $(1) > /dev/null || { echo "skipped: $(1) is missing; 'make setup-machines' installs it"; \
	echo "0 passed, 0 failed, 1 skipped"; exit 0; };

check-machines: check-i386 check-s390x check-tsan check-msan check-musl check-mingw check-abi check-reproducible

check-s390x: ## the test programs on a big-endian machine, under qemu
	@test/scripts/on-machine s390x

check-i386: ## the test programs with a size_t of 32 bits
	@test/scripts/on-machine i386

check-armhf: ## the same on ARM, under qemu
	@test/scripts/on-machine armhf

# -static, so that no loader of musl is needed; the programs run in one process.
check-musl: ## the library's tests, linked with musl
	$(call with_tool,musl-gcc) MSKP_TEST_SCALE=$${MSKP_TEST_SCALE:-0.05} $(MAKE) --no-print-directory BUILD=build/musl \
		CC=musl-gcc STAND_IN=1 CFLAGS=-O2 LDFLAGS=-static check-library

check-msan: ## the library's tests with MSan (clang)
	$(call with_tool,clang) MSKP_TEST_SCALE=$${MSKP_TEST_SCALE:-0.02} $(MAKE) --no-print-directory BUILD=build/msan \
		CC=clang STAND_IN=1 check-library \
		CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=memory -fno-sanitize-recover=all"

check-tsan: ## the tests that use threads, with TSan
	CK_FORK=no MSKP_TEST_SCALE=$${MSKP_TEST_SCALE:-0.1} $(MAKE) --no-print-directory BUILD=build/tsan \
		CFLAGS="-O1 -g -fsanitize=thread" check-parallel

check-parallel: $(PARALLEL_TESTS)
	@$(RUN_TESTS) $(PARALLEL_TESTS)

# Nothing runs here: wine is larger than all else together.
check-mingw: ## build for Windows without a warning, with a consumer of the archive and one of the DLL
	$(call with_tool,$(MINGW)) $(MAKE) --no-print-directory BUILD=build/mingw CC=$(MINGW) CFLAGS="-O2 -Werror" library && \
	for library in build/mingw/libmskp.a build/mingw/libmskp.dll.a; do \
		$(MINGW) $(DIALECT) $(WARN) -Werror -Iinclude -o build/mingw/consumer.exe test/consumer/consumer.c $$library || \
			exit; \
		$(MINGW:gcc=objdump) -p build/mingw/consumer.exe | grep -c 'DLL Name: libmskp-1.dll'; \
	done | paste -sd ' ' | grep -qx '0 1' && \
	BUILD=build/mingw CFLAGS='-O2 -Werror' test/scripts/install-cmake $(MINGW) || test $$? = 77

abi-record: $(SHARED) ## record the interface of the shared library, after a change of the soname
	@test/scripts/abi record $(SHARED)

check-abi: $(SHARED) ## compare with the recorded interface
	@test/scripts/abi check $(SHARED)

check-reproducible: ## build in two folders and compare the bytes
	@CC='$(CC)' test/scripts/build-twice
