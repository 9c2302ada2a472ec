"""Nets larger than a device: parameters, gradients and optimiser state divided among the processes (FSDP2)."""
