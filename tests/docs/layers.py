"""The import rules of pyproject.toml, as a diagram and a list for docs/design.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Contract = dict[str, Any]


def read_contracts() -> list[Contract]:
    """The contracts that `lint-imports` checks."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts: list[Contract] = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return contracts


def split_layer(layer: str) -> list[str]:
    """The modules of one layer: `a : b` may import each other, `a | b` may not."""
    return [name.strip(" ()") for name in layer.replace("|", ":").split(":")]


def draw_layers(layers: Sequence[str]) -> Iterator[str]:
    """A Mermaid flowchart with one box a layer; an arrow leads to what may be imported."""
    yield "```mermaid"
    yield "flowchart TD"
    for number, layer in enumerate(layers):
        names = [name.partition(".")[2] or name for name in split_layer(layer)]
        yield f'    layer{number}["{" · ".join(names)}"]'
    yield "    " + " --> ".join(f"layer{number}" for number in range(len(layers)))
    yield "```"


def list_forbidden(contract: Contract) -> str:
    """One line of a list: who imports what never, and the contract's name."""
    never = ", ".join(f"`{name}`" for name in contract["forbidden_modules"])
    sources = ", ".join(f"`{name}`" for name in contract["source_modules"])
    return f"- {contract['name']}: {sources} never import {never}."


def layers_text() -> str:
    """Layers as diagrams, other contracts as a list. Raises ValueError for an unknown type."""
    drawn, listed = [], []
    for contract in read_contracts():
        match contract["type"]:
            case "layers":
                drawn += [f"{contract['name']}.", "\n".join(draw_layers(contract["layers"]))]
            case "forbidden":
                listed.append(list_forbidden(contract))
            case "independence":
                modules = ", ".join(f"`{name}`" for name in contract["modules"])
                listed.append(f"- {contract['name']}: {modules}.")
            case other:
                raise ValueError(f"contracts of type {other} are not drawn yet")
    return "\n\n".join([*drawn, "\n".join(listed)])
