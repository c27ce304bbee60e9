"""`gbench predict`: the step time on many nodes, from the record of one."""

from dataclasses import asdict

import click

from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import COUNTS, json_option
from gbench.cli.shared.table import print_table

FORMS = "give one record file or run folder"


@click.command()
@click.argument("record")
@click.option("--nodes", type=COUNTS, required=True, metavar="1,2,4", help="Numbers of nodes to predict.")
@click.option(
    "--network",
    metavar="RECORD",
    help="Record of a run of this model over the network, such as on two nodes, for its all-reduce.  [default: RECORD]",
)
@json_option
def predict(record: str, nodes: list[int], network: str | None, as_json: bool) -> None:
    """Predict step time and throughput on more nodes like that of RECORD, a record file or a run folder of one node.

    Each node keeps its batch (weak scaling). How far the figures can be trusted is in docs/scaling.md.

    \b
    gbench predict RECORD --nodes 1,2,4,8,16 --network RECORD_OF_TWO_NODES
    """
    from gbench.compare.metrics import THROUGHPUT
    from gbench.compare.predict import as_rows, network_of, node_of
    from gbench.compare.predict import predict as predict_nodes
    from gbench.compare.sides import read_one

    own = read_one(record, "RECORD", FORMS).record
    probe = network_of(read_one(network, "--network", FORMS).record if network else own, own)
    found = predict_nodes(node_of(own), probe, nodes)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_table(as_rows(found, THROUGHPUT.unit_in(own)), right=range(8), give_way={})
    echo(f"\nall-reduce of {probe.ranks} ranks by {probe.backend}; nodes like that of RECORD, with its batch each")
    if network is None:
        echo("it is of RECORD's own node: --network RECORD_OF_TWO_NODES gives that between nodes")
