"""Style transfer: features of a frozen net, Gram matrices, and pictures optimised or generated from them."""
