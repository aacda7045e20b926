"""One worker of a night, alone: claims everything that waits with a short lease and scores it.

``python -m clarity.drill.worker CONFIGURATION NAME [FILE]`` prints what it scored and what it had lost when it came to
write. With FILE it stalls before it stores its first overlay, until that file exists.
"""

import sys
from pathlib import Path

from clarity import params as parameters
from clarity.drill.boundaries import Boundaries
from clarity.screening.score import Work
from clarity.storage import database, scans
from clarity.storage.objects import Objects
from flows import screening_steps as steps

_LEASE_S = 2.0


def main() -> None:
    """Score; prints "scored N lost M"."""
    configuration, name, *stall = sys.argv[1:]
    if stall:
        watched = Boundaries(None, ("1", Path(stall[0])))
        Objects.put = watched.around(Objects.put, "put")  # type: ignore[method-assign]
    champion = steps.find_champion(parameters.load(configuration).model.name)
    engine, _ = steps.services()
    run = f"drill-worker-{name}"
    with database.session(engine) as session:
        visits = scans.waiting_visits(session)
        shas = [sha for visit in scans.unscored(session, visits, champion.by) for sha in visit]
    steps.open_run(run, champion.by)
    done = steps.score_batch(shas, champion, Work(run, name, lease_s=_LEASE_S, overlay_size=128), "ada")
    sys.stdout.write(f"scored {done.scored} lost {done.lost}\n")


if __name__ == "__main__":
    main()
