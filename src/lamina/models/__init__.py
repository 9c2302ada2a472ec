"""One architecture, one file: docstring, legend of axes, config, modules, variants. They import torch, layers and cards."""
