"""How fast is inference with our nets beside torchvision's?

The plain models of both in one process, eager, float32, default memory format, images of 224 x 224 pixels, rounds
interleaved, both nets made three times. Speed: median over rounds of torchvision's time over ours. Memory: most bytes
held in tensors at once, weights included.
"""

from __future__ import annotations

from benchmarks.measure import write_result
from benchmarks.vision_comparison import table

if __name__ == "__main__":
    write_result("vision_forward", (__doc__ or "") + "\n" + table("forward"))
