"""How data flow through a model: its modules as boxes, and which box reads what another one wrote.

One forward pass on torch's meta device is recorded, operator by operator. A box is a module with everything in it; what
a module calculates between its parts (a sum, a concatenation) hands on who produced its operands, so that a shortcut is
an edge from where it begins to whoever reads the sum.

    >>> flow = Flow(lamina.create_model("lenet5"), (1, 32, 32))
    >>> [box.label for box in flow.graph().boxes][:2]
    ['Conv2d, ReLU', 'MaxPool2d']
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from lamina.inspection.layers import Event, ForwardTrace, LayerRow, rows_of, trace_forward
from lamina.inspection.receptive import field_of

INPUT, OUTPUT = -1, -2
"""ends of edges that are no boxes"""
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
Edge = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Box:
    """One part of a drawn model."""

    names: tuple[str, ...]
    """the modules, by their paths; several where layers follow each other or a block is repeated"""
    label: str
    """classes of the modules: "Conv2d, BatchNorm2d, ReLU" """
    repeats: int = 1
    """number of equal blocks, one after the other"""
    kind: str
    """"convolution", "linear", "normalisation", "activation", "pooling", "recurrent", "embedding", "product",
    "block" (of several layers), "other" """
    output_shape: tuple[int, ...] | None
    """of the last module, for one input, without the batch"""
    parameters: int
    """trainable, of all repeats; shared ones count where they first appear"""
    macs: int
    receptive_field: tuple[int, ...] | None
    """of an output position, in pixels along each axis; None where it sees the whole input"""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Boxes in the order of their first call, and edges between them; ``INPUT`` and ``OUTPUT`` are the ends."""

    root: str
    """path of the module that is drawn; "" for the whole model"""
    title: str
    """class of that module"""
    input_shape: tuple[int, ...] | None
    boxes: tuple[Box, ...]
    own_parameters: int
    """of the module itself and of those that were opened, in no box"""
    edges: frozenset[Edge]
    """(from, to): places in ``boxes``, ``INPUT`` or ``OUTPUT``; an edge to itself or backwards is a loop over time"""

    @property
    def parameters(self) -> int:
        """Of the module, trainable."""
        return self.own_parameters + sum(box.parameters for box in self.boxes)


class Flow:
    """The recorded forward pass of ``model``; ``given`` is what ``layer_table`` takes: a shape, or named tensors."""

    def __init__(self, model: nn.Module, given: Sequence[int] | Mapping[str, Tensor]) -> None:
        self.trace = trace_forward(model, given, record=True)
        self.axes = 0 if isinstance(given, Mapping) else len(given) - 1
        self.rows: list[LayerRow] = rows_of(self.trace, given)
        self.modules = dict(self.trace.twin.named_modules())
        self.children: dict[str, list[str]] = defaultdict(list)
        self._grow()
        leaves = [name for name in self.modules if name and not self.children[name] and name in self.trace.order]
        self._leaf_edges = _edges(self.trace, {name: name for name in leaves}, "")[1]

    def _grow(self) -> None:
        """The tree of the modules that are called, or hold such, in the order of their first call."""
        first: dict[str, int] = {}
        for name, place in self.trace.order.items():
            for prefix in _prefixes(name):
                first[prefix] = min(place, first.get(prefix, place))
        for name in sorted((name for name in first if name), key=lambda name: (first[name], name.count("."))):
            self.children[name.rpartition(".")[0]].append(name)

    def graph(self, root: str = "", *, limit: int = 20) -> Graph:
        """The module ``root`` in at most ``limit`` boxes, unless its own parts are more: parts are opened, those of one
        class together, level by level while there is room."""
        boxes = self._opened(root, limit)
        owner = {name: box[0][0] for box in boxes for unit in box for name in unit}
        order, edges = _edges(self.trace, owner, root)
        by_key = {box[0][0]: box for box in boxes}
        place = {key: index for index, key in enumerate(order)} | {"<input>": INPUT, "<output>": OUTPUT}
        return Graph(
            root=root,
            title=type(self.modules[root]).__name__,
            input_shape=self._input_shape(root),
            boxes=tuple(
                self._product(event) if event.product and key not in by_key else self._box(by_key[key])
                for key, event in order.items()
            ),
            own_parameters=sum(
                row.parameters for row in self.rows if _inside(row.name, (root,)) and not _inside(row.name, list(owner))
            ),
            edges=frozenset((place[a], place[b]) for a, b in edges if a in place and b in place),
        )

    def block(self, graph: Graph) -> str | None:
        """The path of the block of ``graph`` worth a drawing of its own: of the class that holds most of the
        parameters that no box shows in detail; None where every box is a layer."""
        weight: Counter[str] = Counter()
        for box in graph.boxes:
            if box.kind == "block" and box.names[0] in self.trace.order:  # a ModuleList is never called itself
                weight[box.label] += max(box.parameters, 1)
        if not weight:
            return None
        best = max(weight, key=lambda label: weight[label])
        boxes = [
            box for box in graph.boxes if box.kind == "block" and box.label == best and box.names[0] in self.trace.order
        ]
        return max(boxes, key=lambda box: box.repeats).names[0]

    def drawings(self, *, limit: int = 20, depth: int = 2) -> Iterator[Graph]:
        """The whole model, then its main block, then the main block of that, down to ``depth``."""
        root: str | None = ""
        while root is not None and depth >= 0:
            graph = self.graph(root, limit=limit)
            yield graph
            root, depth = self.block(graph), depth - 1

    # ------------------------------------------------------------------ which boxes

    def _opened(self, root: str, limit: int) -> list[list[tuple[str, ...]]]:
        """Boxes, each a list of repeats, each a tuple of modules."""
        if not self.children[root]:
            return [[(root,)]]
        boxes = self._parts(root)
        refused: set[str] = set()
        while True:
            kinds = {self._class(box) for box in boxes if self._opens(box)} - refused
            if not kinds:
                return boxes
            depth = {kind: min(self._depth(box) for box in boxes if self._class(box) == kind) for kind in kinds}
            kind = min(kinds, key=lambda kind: (depth[kind], kind))
            opened = []
            for box in boxes:
                hit = self._opens(box) and self._class(box) == kind
                opened += self._parts(box[0][0]) if hit else [box]
            called = any(box[0][0] in self.trace.order for box in boxes if self._class(box) == kind)
            if len(opened) <= max(limit, len(boxes)) or (not called and len(opened) <= 2 * limit):  # a list is none
                boxes = opened
            else:
                refused.add(kind)

    def _opens(self, box: list[tuple[str, ...]]) -> bool:
        name = box[0][0]
        if len(box) > 1 or len(box[0]) > 1 or not self.children[name]:
            return False
        own = any(True for _ in self.modules[name].parameters(recurse=False))
        return not (own and self.trace.macs[name])  # a layer with helpers, such as a modulated convolution

    def _depth(self, box: list[tuple[str, ...]]) -> int:
        return box[0][0].count(".")

    def _class(self, box: list[tuple[str, ...]]) -> str:
        """What is opened together: a class; the containers of one module."""
        name = box[0][0]
        return (
            name.rpartition(".")[0] if isinstance(self.modules[name], CONTAINERS) else type(self.modules[name]).__name__
        )

    def _parts(self, name: str) -> list[list[tuple[str, ...]]]:
        """The parts of a module: layers that only follow each other are one, and so are equal blocks in a row."""
        units: list[tuple[str, ...]] = []
        for child in self.children[name]:
            if units and self._continues(units[-1][-1], child):
                units[-1] = (*units[-1], child)
            else:
                units.append((child,))
        boxes: list[list[tuple[str, ...]]] = []
        for unit in units:
            if boxes and self._repeats(boxes[-1][-1], unit):
                boxes[-1].append(unit)
            else:
                boxes.append([unit])
        return boxes

    def _continues(self, before: str, after: str) -> bool:
        """Whether a layer belongs to the one before it: a normalisation, an activation or a dropout of it alone."""
        if self.children[before] or self.children[after]:
            return False
        if kind_of(self.modules[after]) not in ("normalisation", "activation", "dropout"):
            return False
        follows = {b for a, b in self._leaf_edges if a == before}
        comes = {a for a, b in self._leaf_edges if b == after}
        return follows == {after} and comes == {before}

    def _repeats(self, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        if self._signature(before) != self._signature(after):
            return False
        return any(_inside(a, before) and _inside(b, after) for a, b in self._leaf_edges)

    def _signature(self, unit: tuple[str, ...]) -> list[object]:
        found: list[object] = []
        for name in unit:
            module = self.modules[name]
            shapes = [tuple(weight.shape) for weight in module.parameters()]
            classes = [type(part).__name__ for part in module.modules()]
            found.append((classes, shapes, self.trace.outputs.get(name, (None,))[0]))
        return found

    # ------------------------------------------------------------------ what stands in a box

    def _box(self, box: list[tuple[str, ...]]) -> Box:
        names = tuple(name for unit in box for name in unit)
        modules = [self.modules[name] for name in box[0]]
        rows = [row for row in self.rows if any(row.name == name or row.name.startswith(f"{name}.") for name in names)]
        kinds = [
            "block" if self.children[name] else kind_of(module) for name, module in zip(box[0], modules, strict=True)
        ]
        called = [name for name in self.trace.outputs if any(_inside(name, (one,)) for one in names)]
        last = names[-1] if names[-1] in self.trace.outputs else max(called, key=self.trace.order.__getitem__)
        shape, layout = self.trace.outputs.get(last, (None, None))
        field = field_of(layout, self.axes)
        return Box(
            names=names,
            label=", ".join(self._label(name) for name in box[0]),
            repeats=len(box),
            kind="other" if kinds[0] == "dropout" else kinds[0],
            output_shape=shape,
            parameters=sum(row.parameters for row in rows),
            macs=sum(row.macs for row in rows),
            receptive_field=field.size if field else None,
        )

    def _product(self, event: Event) -> Box:
        """What a module multiplies itself, between its parts: attention, an output layer that shares its weights."""
        same = sum(one.product and one.module == event.module for one in self.trace.events or ())
        return Box(
            names=(event.module,),
            label=next((word for word in ("attention", "convolution") if word in event.what), "matrix product"),
            kind="product",
            output_shape=event.shape,
            parameters=0,
            macs=self.trace.macs[event.module] // same,
            receptive_field=None,
        )

    def _label(self, name: str) -> str:
        module = self.modules[name]
        if not isinstance(module, CONTAINERS):
            return type(module).__name__
        *before, last = name.split(".")
        return f"{before[-1]} {last}" if last.isdigit() and before else last

    def _input_shape(self, root: str) -> tuple[int, ...] | None:
        shapes = [tuple(tensor.shape[1:]) for tensor in self.trace.inputs.values()]
        return shapes[0] if not root and len(shapes) == 1 else None


def kind_of(module: nn.Module) -> str:
    """What a layer is, by its class."""
    name = type(module).__name__
    for words, kind in _KINDS:
        if any(word in name for word in words):
            return kind
    return "other"


_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Attention",), "product"),
    (("Conv", "Patch"), "convolution"),
    (("LSTM", "GRU", "RNN", "Recurrent"), "recurrent"),
    (("Embedding", "Position"), "embedding"),
    (("Linear", "Bilinear"), "linear"),
    (("Norm",), "normalisation"),
    (("Pool", "Upsample", "Blur"), "pooling"),
    (("Dropout", "StochasticDepth", "Identity"), "dropout"),
    (("ReLU", "GELU", "SiLU", "Tanh", "Sigmoid", "Softmax", "swish", "Swish", "Activation", "ELU"), "activation"),
)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".") if name else []
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]


def _inside(name: str, modules: Sequence[str]) -> bool:
    return any(not module or name == module or name.startswith(f"{module}.") for module in modules)


def _edges(trace: ForwardTrace, owner: Mapping[str, str], root: str) -> tuple[dict[str, Event], set[tuple[str, str]]]:
    """The boxes' keys in the order of their first operation, each with it; edges between keys, "<input>", "<output>".

    ``owner`` maps a module to the key of its box. A product outside of all boxes becomes a box "module::place".
    """
    find = _owner_finder(owner)
    own_products = _products_of_a_call(trace)
    start = frozenset({("<input>", "", 0)})
    made: dict[int, frozenset[tuple[str, str, int]]] = {id(x): start for x in trace.inputs.values()}
    order: dict[str, Event] = {}
    edges: set[tuple[str, str]] = set()
    calls: Counter[str] = Counter()
    since: Counter[str] = Counter()  # products of a module since it was called
    running = not root
    for event in trace.events or ():
        if event.what == "enter":
            calls[event.module] += 1
            since[event.module] = 0
            if event.module == root and not running:
                running = True
                made = dict.fromkeys(made, start)
            continue
        sources = frozenset().union(*(made.get(tensor, frozenset()) for tensor in event.reads))
        if event.what == "leave":
            if event.module == root:
                edges |= {(key, "<output>") for key, _, _ in sources}
                break
            continue
        key, member = find(event.module) if running else (None, "")
        if running and key is None and event.product and sources:
            since[event.module] += 1
            several = own_products[event.module]
            key = f"{event.module}::{since[event.module] if several <= 3 else event.shape}"  # else a loop, or layers
            member = key
        if key is not None:
            order.setdefault(key, event)
            call = calls[member]
            edges |= {(source, key) for source, _, _ in sources if source != key}
            edges |= {(key, key) for source, one, at in sources if source == key and one == member and at != call}
            sources = frozenset({(key, member, call)})
        if sources:
            for tensor in event.writes:
                made[tensor] = sources
            for tensor in event.bases:
                made[tensor] = made.get(tensor, frozenset()) | sources
        else:
            for tensor in event.writes:
                made.pop(tensor, None)
    return order, edges


def _owner_finder(owner: Mapping[str, str]) -> Callable[[str], tuple[str | None, str]]:
    known: dict[str, tuple[str | None, str]] = {}

    def find(module: str) -> tuple[str | None, str]:
        if module not in known:
            hit = next((name for name in reversed(_prefixes(module)) if name in owner), None)
            known[module] = (None, "") if hit is None else (owner[hit], hit)
        return known[module]

    return find


def _products_of_a_call(trace: ForwardTrace) -> Counter[str]:
    """The greatest number of products that a module itself calculates in one call."""
    most: Counter[str] = Counter()
    now: Counter[str] = Counter()
    for event in trace.events or ():
        if event.what == "enter":
            now[event.module] = 0
        elif event.product:
            now[event.module] += 1
            most[event.module] = max(most[event.module], now[event.module])
    return most
