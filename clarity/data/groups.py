"""Who belongs together when some pairs may not be parted."""

from collections.abc import Iterable


def join(members: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each member, and each name in ``pairs``, to the smallest name of its group (union-find)."""
    parent = {member: member for member in members}

    def root(member: str) -> str:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for one, other in pairs:
        parent.setdefault(one, one)
        parent.setdefault(other, other)
        a, b = sorted((root(one), root(other)))
        parent[b] = a
    return {member: root(member) for member in parent}
