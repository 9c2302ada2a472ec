"""Published weights: files of other projects, their names translated into ours.

``lamina.load_weights(model, file)`` reads safetensors and weights-only ``.pth`` files. One file per architecture states
how each project names what we have: ``LAYOUTS``.
"""
