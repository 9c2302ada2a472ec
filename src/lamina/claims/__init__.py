"""Claims of the field as experiments: one short file per claim, its settings and bars fixed before the verdict.

from lamina.claims.running import run_claim

run_claim("xor").verdict  # "holds"
"""
