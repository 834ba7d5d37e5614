"""How the agents of several machines meet, and end together.

Torch's agents look after the processes of their own machine only: where one ends, the others wait
until their processes fail in an exchange with its. Here each looks at whether all are still there.
"""

from torch.distributed.elastic.rendezvous import (
    RendezvousConnectionError,
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    rendezvous_handler_registry,
)

from espnet_stacodec.errors import TrainingError

BACKEND = "stacodec"


class WatchedRendezvous(RendezvousHandler):
    """Torch's rendezvous, which ends this machine's processes when another machine's agent ends.

    Args:
        parameters: Torch's.
    """

    made: "WatchedRendezvous | None" = None

    def __init__(self, parameters: RendezvousParameters) -> None:
        self._handler = rendezvous_handler_registry.create_handler(
            RendezvousParameters(
                backend="c10d",
                endpoint=parameters.endpoint,
                run_id=parameters.run_id,
                min_nodes=parameters.min_nodes,
                max_nodes=parameters.max_nodes,
                local_addr=parameters.local_addr,
                **parameters.config,
            )
        )
        WatchedRendezvous.made = self

    def num_nodes_waiting(self) -> int:
        """Return 0: nobody may join. The agent asks this all the time while its processes run.

        Raises:
            TrainingError: If an agent of another machine has ended.
        """
        try:
            # An agent closes the rendezvous at its end; the one that has the store takes it along.
            closed = self._handler.is_closed()
        except RendezvousConnectionError:
            closed = True
        if closed:
            raise TrainingError(
                "the training has ended on another machine, and the processes of this one were"
                " stopped; read the lines there. Started again, on all machines, the training goes"
                " on from the last complete epoch."
            )
        return 0

    def get_backend(self) -> str:
        """Return the name that this is registered by."""
        return BACKEND

    @property
    def use_agent_store(self) -> bool:
        """Whether the processes exchange addresses by the agents' store."""
        return self._handler.use_agent_store

    def next_rendezvous(self) -> RendezvousInfo:
        """Wait until the agents of all machines are here."""
        return self._handler.next_rendezvous()

    def is_closed(self) -> bool:
        """Whether an agent has ended."""
        return self._handler.is_closed()

    def set_closed(self) -> None:
        """Tell the other agents that this one ends."""
        self._handler.set_closed()

    def get_run_id(self) -> str:
        """Return the name of the training among those that share a port."""
        return self._handler.get_run_id()

    def shutdown(self) -> bool:
        """Tell the other agents that this one ends, and leave."""
        return self._handler.shutdown()


def leave() -> None:
    """Tell the other agents that this one ends: torch does not where a signal ends it."""
    if WatchedRendezvous.made is not None:
        WatchedRendezvous.made.shutdown()
        WatchedRendezvous.made = None


rendezvous_handler_registry.register(BACKEND, WatchedRendezvous)
