"""How good are autoencoders at what they are used for: density, anomalies, denoising, reduction to two dimensions,
samples? Each experiment trains through the public API, with settings that were fixed before it was judged on the test
split. One thread, CPU time of the process.

    python -m benchmarks.autoencoders              # all experiments; what was measured before is not measured again
    python -m benchmarks.autoencoders density      # one of them

Needs ``$LAMINA_DATA/mnist`` and ``$LAMINA_DATA/fashion_mnist``.
"""
