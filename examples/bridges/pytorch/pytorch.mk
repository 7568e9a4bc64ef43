# The Python package mskp for PyTorch, and its tests, test/pytorch/test_*.py.
#
# Nothing is installed, and nothing is written outside of BUILD. `pip install examples/bridges/pytorch` installs it.

PYTORCH_TESTS := $(wildcard test/pytorch/test_*.py)

.PHONY: check-pytorch

check-pytorch: ## the package for PyTorch (PYTHON with torch and pytest; minutes)
	@if $(PYTHON) -c 'import torch, pytest' 2> /dev/null; then \
		$(MAKE) --no-print-directory $(BUILD)/libmskp_python.so && \
		MSKP_LIBRARY='$(abspath $(BUILD))/libmskp_python.so' PYTHONPYCACHEPREFIX='$(abspath $(BUILD))/pycache' \
			$(PYTHON) -m pytest -q -p no:cacheprovider --basetemp='$(abspath $(BUILD))/pytorch-tmp' $(PYTORCH_TESTS); \
	else echo "skipped: check-pytorch needs a PYTHON with torch and pytest"; fi
