"""Connected components: the same answer from union-find in memory, from SQL joins, and from any engine's partitions.

The answer does not depend on the way: the label of a node is the smallest node it can be reached from. Union-find is
for pairs that fit in memory. Large-star / small-star (Kiveris et al. 2014) moves each pair towards the smallest node it
knows of until nothing moves; a round is one grouping by node, which any engine can do and spill.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.clusters import join, roots

if TYPE_CHECKING:
    import duckdb

Nodes = NDArray[np.int64]


def components(first: Nodes, second: Nodes, size: int) -> Nodes:
    """The smallest member of each node's component; shape (size,).

    Args:
        first: one end of each pair, in [0, size).
        second: the other.
        size: how many nodes there are.

    Cost: nearly linear (Tarjan 1975); 8 bytes a node.
    """
    parents = np.arange(size, dtype=np.int64)
    join(parents, first, second)
    return roots(parents, np.arange(size, dtype=np.int64))


def star(nodes: Nodes, neighbours: Nodes, large: bool) -> tuple[Nodes, Nodes]:
    """One half of a round, for rows that hold all neighbours of their nodes: pairs (node, smaller node), no repeats.

    Large-star wants each pair both ways and links the larger neighbours of a node to the smallest it knows; small-star
    wants pairs as (larger, smaller) and links all of them to the smallest. Rows may be split over partitions by node.
    """
    if not len(nodes):
        return nodes, neighbours
    order = np.argsort(nodes, kind="stable")
    nodes, neighbours = nodes[order], neighbours[order]
    starts = np.flatnonzero(np.diff(nodes, prepend=nodes[0] - 1))
    least = np.minimum(np.minimum.reduceat(neighbours, starts), nodes[starts])
    target = np.repeat(least, np.diff(starts, append=len(nodes)))
    if large:
        chosen = neighbours > nodes
        moved, onto = neighbours[chosen], target[chosen]
    else:
        moved, onto = np.concatenate((neighbours, nodes[starts])), np.concatenate((target, least))
        moved, onto = moved[moved != onto], onto[moved != onto]
    pairs = np.unique(np.stack((moved, onto)), axis=1)
    return pairs[0], pairs[1]


def star_components(first: Nodes, second: Nodes, partitions: int = 1) -> tuple[Nodes, Nodes]:
    """Nodes that have a pair with another node, ascending, and the smallest member of the component of each.

    Args:
        first: one end of each pair, any number.
        second: the other.
        partitions: in how many pieces to do each round, as a cluster would.
    """
    apart = first != second
    nodes, roots = np.maximum(first, second)[apart], np.minimum(first, second)[apart]
    while True:
        moved = _in_partitions(np.concatenate((nodes, roots)), np.concatenate((roots, nodes)), True, partitions)
        moved = _in_partitions(*moved, False, partitions)
        if np.array_equal(moved[0], nodes) and np.array_equal(moved[1], roots):
            break
        nodes, roots = moved
    members = np.unique(np.stack((np.concatenate((nodes, roots)), np.concatenate((roots, roots)))), axis=1)
    return members[0], members[1]


def _in_partitions(nodes: Nodes, neighbours: Nodes, large: bool, partitions: int) -> tuple[Nodes, Nodes]:
    parts = [
        star(nodes[mine], neighbours[mine], large) for mine in (nodes % partitions == n for n in range(partitions))
    ]
    pairs = np.unique(np.concatenate([np.stack(part) for part in parts], axis=1), axis=1)
    return pairs[0], pairs[1]


LARGE_STAR = """
    CREATE OR REPLACE TABLE star_large AS
    WITH ways AS (SELECT node, root FROM star_pairs UNION ALL SELECT root, node FROM star_pairs),
    least AS (SELECT node, least(node, min(root)) AS target FROM ways GROUP BY node)
    SELECT DISTINCT ways.root AS node, least.target AS root
    FROM ways JOIN least USING (node) WHERE ways.root > ways.node"""
SMALL_STAR = """
    CREATE OR REPLACE TABLE star_small AS
    WITH least AS (SELECT node, min(root) AS target FROM star_large GROUP BY node)
    SELECT node, target AS root FROM least UNION
    SELECT star_large.root, least.target FROM star_large JOIN least USING (node) WHERE star_large.root > least.target"""
STATE = "SELECT count(*), bit_xor(hash(node, root)), sum(node::HUGEINT), sum(root::HUGEINT) FROM {}"


def duckdb_components(connection: "duckdb.DuckDBPyConnection", pairs: str, into: str) -> int:
    """Write a table (node, root) of all nodes in pairs, as a fixed point of joins; how many rounds it took.

    Args:
        connection: its memory limit and folder for temporary files are kept to.
        pairs: a table with the columns `first` and `second`, 64-bit integers.
        into: the table to make.
    """
    connection.execute(f"""CREATE OR REPLACE TABLE star_pairs AS SELECT DISTINCT
        greatest(first, second) AS node, least(first, second) AS root FROM {pairs} WHERE first <> second""")
    rounds, state = 0, connection.execute(STATE.format("star_pairs")).fetchone()
    while True:
        connection.execute(LARGE_STAR)
        connection.execute(SMALL_STAR)
        connection.execute("DROP TABLE star_pairs")
        connection.execute("ALTER TABLE star_small RENAME TO star_pairs")
        rounds, before = rounds + 1, state
        state = connection.execute(STATE.format("star_pairs")).fetchone()
        if state == before:
            break
    connection.execute(f"""CREATE OR REPLACE TABLE {into} AS
        SELECT node, root FROM star_pairs UNION SELECT root, root FROM star_pairs""")
    connection.execute("DROP TABLE star_pairs")
    connection.execute("DROP TABLE star_large")
    return rounds
