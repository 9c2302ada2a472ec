"""Published weights: loading the files of other projects, with their parameter names translated into ours.

``lamina.load_weights(model, file)`` reads safetensors and weights-only ``.pth`` files. One module per architecture
lists, as ``LAYOUTS``, the parameter names of every project that has it.
"""
