# What looks at the sources instead of running them.

FORMATTED := $(wildcard include/*.h include/mskp/*.h lib/*.[ch] lib/*/*.[ch] examples/*.[ch] examples/runtime/*.[ch] \
	examples/bridges/*/*.[ch] examples/bridges/*/*pp examples/programs/*/*.[ch] examples/programs/trainers/*/*.[ch] \
	examples/programs/trainers/*/*pp test/*/*.[ch] test/*/*.cpp)
# What clang-tidy reads with the packages of `make setup` alone.
TIDIED := $(wildcard examples/*.c examples/runtime/*.c examples/bridges/convnet/*.c \
	examples/programs/driver/*.c examples/programs/masksparsity/*.c examples/programs/common/*.c \
	$(if $(PNG),examples/programs/relevance/*.c))

.PHONY: format lint lint-format lint-tidy lint-warnings lint-shell lint-bridges lint-onnx

format: ## clang-format all sources
	$(CLANG_FORMAT) -i $(FORMATTED)

lint: lint-format lint-tidy lint-warnings lint-shell ## format, clang-tidy, gcc and clang -Werror, shellcheck

lint-format:
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

lint-tidy:
	@printf '%s\n' $(LIB_SOURCES) $(BLAS_SOURCES) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude -Ilib
	@printf '%s\n' $(TIDIED) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude $(EXAMPLE_FLAGS)

# Both compilers at -O0 and at -O3; and each header alone as C++.
lint-warnings:
	@for c in gcc clang; do for o in -O0 -O3; do \
		$(MAKE) --no-print-directory BUILD=build/lint/$$c$$o CC=$$c CFLAGS="$$o -Werror" every-object || exit; \
	done; done
	@for c in g++ clang++; do for h in $(patsubst include/%,%,$(wildcard include/*.h include/mskp/*.h)); do \
		echo "#include <$$h>" | \
			$$c -std=c++17 $(CXX_WARN) -Werror -Iinclude -fsyntax-only -x c++ - || exit; \
	done; done

lint-shell:
	@shellcheck .ci/run docs/api/build test/scripts/* test/bridges/check-*

# Both compilers at -O0. This is no part of lint, because it needs the packages of the trainers.
lint-bridges:
	@for c in gcc clang; do \
		$(MAKE) --no-print-directory BUILD=build/lint/bridges-$$c CC=$$c \
			CXX=$$(echo $$c | sed 's/^g../g++/; s/^clang/clang++/') \
			CFLAGS="-O0 -Werror" CXXFLAGS="-O0 -Werror" bridge-objects || exit; \
	done

# Both compilers at -O0, and clang-tidy. This is no part of lint, because it needs the packages of mskp-onnx.
lint-onnx: $(ONNX_PROTOCOL).h
	@for c in gcc clang; do \
		$(MAKE) --no-print-directory BUILD=build/lint/onnx-$$c CC=$$c CFLAGS="-O0 -Werror" onnx-objects || exit; \
	done
	@printf '%s\n' $(wildcard $(ONNX_BRIDGE)/*.c $(ONNX)/*.c examples/programs/host/*.c) | \
		xargs -P $(JOBS) -I @ $(CLANG_TIDY) --quiet @ -- $(DIALECT) -Iinclude $(ONNX_FLAGS)
