"""What lies before an arm: put back before an episode and judged after it, by a virtual arm's own world.

At a real arm a person does both, and `world` is null. Nothing of this reaches a policy.
"""

from pathlib import Path

from robot_orl.deploy.virtual.world import World


class Bench:
    """counts: episodes that were judged, and those of them in which the task was done at their end."""

    def __init__(self, world: str | None) -> None:
        """world: path of the socket, see `virtual-arm world=`; None: somebody else looks after the bench."""
        self._path = world
        self._world: World | None = None
        self._is_played = False
        self.counts: dict[str, int] = {}

    def open(self) -> None:
        """Raises: UsageError: no virtual arm answers there."""
        if self._path is not None:
            self._world = World(Path(self._path))
            self.counts = {"judged_episodes": 0, "judged_successes": 0}

    def judge(self) -> None:
        """The episode is over, and nothing has moved since. Raises: UsageError: the virtual arm has gone."""
        if self._world is None or not self._is_played:
            return
        self._is_played = False
        self.counts["judged_episodes"] += 1
        self.counts["judged_successes"] += bool(self._world.do("look")["success"])

    def put_back(self, seed: int) -> bool:
        """Things as an episode of that seed begins; whether anybody did it. Raises: as `judge`."""
        if self._world is None:
            return False
        self._world.do("put_back", seed=seed)
        self._is_played = True
        return True

    def close(self) -> None:
        """Works in any state, more than once."""
        world, self._world = self._world, None
        if world is not None:
            world.close()
