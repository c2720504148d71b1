"""A partition that goes from new code to old and back, while a snapshot_version is rolled out."""

from __future__ import annotations

from pathlib import Path

from sim_checks import Evidence, violations
from sim_plan import Action, plan_of
from sim_workers import Place
from sim_world import World


def lone(world: World, place: Place, *, upgraded: bool, actions: tuple[Action, ...]) -> None:
    """One worker, of old or new code, comes, processes these commands and leaves."""
    everybody = world.crew.places
    world.crew.places, world.crew.upgraded = [place], upgraded
    for action in actions:
        world.client.send(action)
    world.settle()
    world.crew.stop_all(clean=True)
    world.crew.places = everybody


def test_new_code_rebuilds_what_old_code_alone_has_snapshots_of(tmp_path: Path) -> None:
    plan = plan_of(1)
    plan = plan._replace(settings=plan.settings._replace(kept=True, max_entities=3), actions=())
    world = World(plan, tmp_path)
    world.weather.calm = True
    old, new = world.crew.places[:2]
    put_d, put_e = (Action(n, "Put", key, {"n": 1}) for n, key in ((1, "d"), (2, "e")))
    save_d, save_e = (Action(0, "Save", key, {}) for key in ("d", "e"))
    lone(world, old, upgraded=False, actions=(put_d, save_d))
    # now its store has a snapshot of e, and none of d
    lone(world, new, upgraded=True, actions=(put_e, save_e))
    # for old code d is covered and e is not: the low-water mark is past the event of d
    lone(world, old, upgraded=False, actions=(Action(3, "Look", "e", {}),))
    lone(world, new, upgraded=True, actions=(put_d._replace(number=4),))
    events = [(each.key, each.seq) for each in Evidence(world).events[2]]
    assert events == [("d", 1), ("e", 1), ("d", 2)]
    assert violations(world) == []
