# Packages of Debian and Ubuntu: which each part needs, and their installation.

# These are needed for all, demo and check, and LINT_PACKAGES only for lint, installcheck, valgrind and docs.
# `make setup LINT_PACKAGES=` leaves the latter out.
PACKAGES = gcc libc6-dev make pkg-config libopenblas-dev libcjson-dev libpng-dev check
LINT_PACKAGES = g++ clang clang-format clang-tidy shellcheck valgrind cmake meson mandoc doxygen
# And what each of the BRIDGES needs besides; `make bridges` installs it.
PACKAGES_darknet = darknet
PACKAGES_libtorch = g++ libtorch-dev
PACKAGES_dlib = g++ libdlib-dev libjpeg-dev
# And what mskp-onnx needs besides; `make onnx` installs it.
PACKAGES_onnx = libprotobuf-c-dev protobuf-c-compiler libonnx-dev
# And what mskp over MPI needs besides; `make setup-mpi` installs it.
PACKAGES_mpi = libopenmpi-dev openmpi-bin

.PHONY: setup setup-bridges setup-onnx setup-mpi

# Installs what is missing of these packages, else says what is needed.
define install_missing
	@if command -v apt-get dpkg-query > /dev/null; then \
		missing=; \
		for p in $(1); do \
			case "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2> /dev/null)" in \
			installed) ;; *) missing="$$missing $$p" ;; esac; \
		done; \
		if [ -z "$$missing" ]; then echo "$@: nothing is missing"; exit 0; fi; \
		echo "$@: installing$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -q && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
		echo "$@: needed are $(2)"; \
		command -v $(CC) > /dev/null && $(PKG_CONFIG) --print-errors --exists openblas libcjson check libpng && \
		echo "$@: nothing else is missing"; \
	fi
endef

setup: ## install what is missing (Debian, Ubuntu), else say what is needed
	$(call install_missing,$(PACKAGES) $(LINT_PACKAGES),a C11 compiler$(comma) GNU make$(comma) \
		pkg-config$(comma) OpenBLAS$(comma) cJSON$(comma) libpng and Check)

ifneq ($(filter setup,$(MAKECMDGOALS)),)
$(BUILD)/flags: | setup
endif

# After setup, where both are asked for: apt-get runs once at a time.
setup-bridges: $(filter setup,$(MAKECMDGOALS))
	$(call install_missing,$(PACKAGES) $(foreach h,$(BRIDGES),$(PACKAGES_$(h))),$(BRIDGES) and a C++17 compiler)

setup-onnx: $(filter setup,$(MAKECMDGOALS)) $(if $(filter bridges check-bridges,$(MAKECMDGOALS)),setup-bridges)
	$(call install_missing,$(PACKAGES) $(PACKAGES_onnx),protobuf-c with its compiler and the onnx.proto of ONNX)

setup-mpi: $(filter setup,$(MAKECMDGOALS)) ## install what is missing for mpi and check-mpi (Open MPI)
	$(call install_missing,$(PACKAGES) $(PACKAGES_mpi),an MPI with mpicc and mpirun$(comma) such as Open MPI or MPICH)
