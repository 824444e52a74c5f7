"""Digests of values that refer to each other in circles, against a naive definition of "behave the same"."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intccms.schema.digest.forms import Form
from intccms.schema.digest.graph import GraphHasher


@dataclass(eq=False)
class Node:
    label: str
    targets: list[Node] = field(default_factory=list)


def _describe(value: Any) -> Form:
    # a label and at least one part, so that every node takes part in the search for cycles
    label = Form("label", value.label.encode())
    return Form("node", parts=(("", label), *((f"[{i}]", target) for i, target in enumerate(value.targets))))


def _digest(node: Node) -> bytes:
    return GraphHasher(_describe).digest(node)


def _build(labels: list[str], edges: list[list[int]]) -> list[Node]:
    nodes = [Node(label) for label in labels]
    for node, targets in zip(nodes, edges, strict=True):
        node.targets = [nodes[target % len(nodes)] for target in targets]
    return nodes


def _same_behaviour(nodes: list[Node]) -> set[tuple[int, int]]:
    """Return the pairs that cannot be told apart: the largest relation that labels and targets respect."""
    pairs = {
        (a, b)
        for a, b in itertools.product(nodes, nodes)
        if a.label == b.label and len(a.targets) == len(b.targets)
    }
    while True:
        kept = {
            (a, b) for a, b in pairs if all(pair in pairs for pair in zip(a.targets, b.targets, strict=True))
        }
        if kept == pairs:
            return {(id(a), id(b)) for a, b in pairs}
        pairs = kept


_graphs = st.integers(1, 5).flatmap(
    lambda size: st.tuples(
        st.lists(st.sampled_from("ab"), min_size=size, max_size=size),
        st.lists(st.lists(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size),
    )
)


@given(_graphs, _graphs)
def test_nodes_with_one_digest_cannot_be_told_apart(one: Any, other: Any) -> None:
    nodes = [*_build(*one), *_build(*other)]
    digests = {id(node): _digest(node) for node in nodes}

    same = _same_behaviour(nodes)
    for a, b in itertools.combinations(nodes, 2):
        if digests[id(a)] == digests[id(b)]:
            assert (id(a), id(b)) in same


@given(_graphs, st.randoms(use_true_random=False))
def test_a_digest_depends_neither_on_the_order_of_creation_nor_on_the_start(graph: Any, random: Any) -> None:
    nodes = _build(*graph)
    alone = [_digest(node) for node in nodes]
    again = [_digest(node) for node in _build(*graph)]
    assert alone == again

    hasher = GraphHasher(_describe)
    order = list(range(len(nodes)))
    random.shuffle(order)
    together = {position: hasher.digest(nodes[position]) for position in order}
    assert [together[position] for position in range(len(nodes))] == alone


def test_a_change_anywhere_in_a_circle_changes_every_digest_of_it() -> None:
    labels = [str(i) for i in range(20)]
    edges = [[i + 1, 3 * i] for i in range(20)]
    before = [_digest(node) for node in _build(labels, edges)]

    labels[7] = "changed"
    after = [_digest(node) for node in _build(labels, edges)]

    assert len(set(before)) == 20
    assert not set(before) & set(after)


def test_twenty_values_that_all_refer_to_each_other_are_hashed_in_one_pass() -> None:
    visits: list[Node] = []

    def describe(value: Any) -> Form:
        visits.append(value)
        return _describe(value)

    nodes = _build([str(i) for i in range(20)], [list(range(20))] * 20)
    GraphHasher(describe).digest(nodes[0])

    assert len(visits) == 20
