"""How the students' office calls the layers."""

from __future__ import annotations

from lamina.weights.layout import Layout

LAYOUTS = [Layout(source="office", names=lambda model: [("fc1", "hidden"), ("fc2", "head")])]
