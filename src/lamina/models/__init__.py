"""One architecture, one file: docstring, legend of axes, config, modules, variants. Imports torch, layers and cards."""
