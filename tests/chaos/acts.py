"""The faults at work. Each act returns what happened in a few words, and leaves nothing frozen or set behind."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from consumer.settings.table import Backend
from tests.chaos.plan import Planned
from tests.chaos.processes import Proc, send_all
from tests.chaos.requests import FIRST_HIT_SECONDS, rules_of
from tests.chaos.workers import Worker, orphans
from tests.chaos.world import World

_PRESENT_SECONDS = 60.0
_JOIN_SECONDS = 90.0
_READING_SECONDS = 5.0
_POLL_SECONDS = 0.25
#: The lock of a leader that was killed lasts two minutes, and no setting of the KCL shortens it.
_LEADER_SECONDS = 8.0

type Act = Callable[[World, Planned], Awaitable[str]]


async def carry_out(world: World, fault: Planned) -> str:
    """Do what the plan says; returns when the fault is over."""
    if fault.kind.group == "requests":
        return await _requests(world, fault)
    return await _ACTS[fault.kind.name](world, fault)


async def _requests(world: World, fault: Planned) -> str:
    """A fault that finds nobody there, for instance after a kill, waits for its first request."""
    rules = rules_of(fault, world.places)
    hits = 0
    try:
        for endpoint, name, rule in rules:
            await asyncio.to_thread(world.controls[endpoint].put, name, rule)
        await _until_hit(world, fault)
        await asyncio.sleep(fault.seconds)
    finally:
        for endpoint, name, _ in rules:
            hits += world.controls[endpoint].lift(name)
    return f"{hits} requests hit"


async def _until_hit(world: World, fault: Planned) -> None:
    deadline = time.monotonic() + FIRST_HIT_SECONDS
    rules = rules_of(fault, world.places)
    endpoints = {endpoint for endpoint, _, _ in rules}
    names = {name for _, name, _ in rules}
    while time.monotonic() < deadline:
        for endpoint in endpoints:
            hits = await asyncio.to_thread(world.controls[endpoint].hits)
            if any(hits.get(name) for name in names):
                return
        await asyncio.sleep(_POLL_SECONDS)


def _backend(fault: Planned) -> Backend:
    assert fault.target is not None
    return fault.target


async def _until[T](look: Callable[[], T | None], seconds: float) -> T | None:
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return found


async def _check_orphans(world: World, before: list[Proc]) -> None:
    for process in await orphans(before):
        world.orphans.append(f"{process.name} {process.pid}")
        world.say(f"ORPHAN: process {process.pid} ({process.name}) runs still")


async def _killed(world: World, worker: Worker) -> None:
    """To follow every kill."""
    world.killed(worker.backend)
    await _end_leadership(world, worker)


async def _end_leadership(world: World, worker: Worker) -> None:
    """End the lock that a killed leader leaves, early: all leases are shorter here."""
    leases = world.leases(worker.backend)
    leader = leases.leadership()
    if leader is not None and leader.owner == worker.id:
        await asyncio.sleep(_LEADER_SECONDS)
        leases.end(leader)


async def _leave(world: World, worker: Worker) -> int:
    """SIGTERM. A leader that the KCL gives leases while it stops does not come to give up its lock either."""
    code = await worker.stop()
    await _end_leadership(world, worker)
    return code


async def _kill_shard_process(world: World, fault: Planned) -> str:
    worker = world.first[_backend(fault)]
    found = await _until(worker.shard_processes, _PRESENT_SECONDS)
    if not found:
        return "skipped: no shard process ran"
    chosen = found[int(fault.pick * len(found))]
    chosen.send(signal.SIGKILL)
    await _killed(world, worker)
    return f"process {chosen.pid}, one of {len(found)}"


async def _kill_jvm(world: World, fault: Planned) -> str:
    worker = world.first[_backend(fault)]
    jvm = await _until(worker.jvm, _PRESENT_SECONDS)
    if jvm is None:
        return "skipped: no JVM ran"
    before = [jvm, *worker.shard_processes()]
    jvm.send(signal.SIGKILL)
    await asyncio.gather(_killed(world, worker), _check_orphans(world, before))
    return f"process {jvm.pid} with {len(before) - 1} shard processes"


async def _kill_supervisor(world: World, fault: Planned) -> str:
    worker = world.first[_backend(fault)]
    before = await _until(worker.processes, _PRESENT_SECONDS)
    if not before:
        return "skipped: no supervisor ran"
    before[0].send(signal.SIGKILL)
    await asyncio.gather(_killed(world, worker), _check_orphans(world, before))
    return f"process {before[0].pid} with {len(before) - 1} below it"


async def _kill_fork_server(world: World, fault: Planned) -> str:
    """Delivery has to go on meanwhile, so it does not count as cut off."""
    worker = world.first[_backend(fault)]
    await _until(worker.shard_processes, _PRESENT_SECONDS)
    server = await _until(worker.fork_server, _PRESENT_SECONDS)
    if server is None:
        return "skipped: no fork server ran"
    forked = [process for process in worker.shard_processes() if process.session == server.session]
    killed_at = time.monotonic()
    server.send(signal.SIGKILL)
    successor = await _until(lambda: _successor(worker, server), _PRESENT_SECONDS)
    run_on = sum(process.alive() for process in forked)
    outcome = f"process {server.pid}; {run_on} of the {len(forked)} shard processes from it run on"
    if successor is None:
        world.missing.append(f"fork server of {worker.id}")
        return f"{outcome}, and there is NO new one"
    return f"{outcome}, process {successor.pid} in its place after {time.monotonic() - killed_at:.1f} s"


def _successor(worker: Worker, before: Proc) -> Proc | None:
    found = worker.fork_server()
    return None if found == before else found


async def _freeze_shard_process(world: World, fault: Planned) -> str:
    found = await _until(world.first[_backend(fault)].shard_processes, _PRESENT_SECONDS)
    if not found:
        return "skipped: no shard process ran"
    chosen = found[int(fault.pick * len(found))]
    await _frozen([chosen], fault.seconds)
    return f"process {chosen.pid}, one of {len(found)}"


async def _frozen(processes: list[Proc], seconds: float) -> None:
    try:
        send_all(processes, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        send_all(processes, signal.SIGCONT)


async def _restart(world: World, fault: Planned) -> str:
    worker = world.first[_backend(fault)]
    world.killed(worker.backend)
    code = await worker.stop()
    await asyncio.sleep(fault.seconds)
    worker.start()
    return f"ended with code {code}, started again"


async def _joined(worker: Worker) -> int:
    """How many shards a worker that was just started has taken over, once there are any."""
    return len(await _until(worker.shard_processes, _JOIN_SECONDS) or [])


async def _second_worker(world: World, fault: Planned) -> str:
    worker = world.second[_backend(fault)]
    worker.start()
    try:
        shards = await _joined(worker)
        await asyncio.sleep(fault.seconds)
    finally:
        code = await _leave(world, worker)
    return f"{worker.id} joined, took over {shards} shards, left with code {code}"


async def _two_owners(world: World, fault: Planned) -> str:
    """Freeze the worker that does not hand out the leases, for longer than they last."""
    worker = world.second[_backend(fault)]
    worker.start()
    try:
        if not await _joined(worker):
            return f"skipped: {worker.id} got no shard"
        # some records are to be in its open chunks and on their way
        await asyncio.sleep(_READING_SECONDS)
        return await _freeze_the_follower(world, fault)
    finally:
        await _leave(world, worker)


async def _freeze_the_follower(world: World, fault: Planned) -> str:
    backend = _backend(fault)
    leases = world.leases(backend)
    pair = [world.first[backend], world.second[backend]]
    leader = leases.leadership()
    zombie = next((one for one in pair if leader is not None and one.id != leader.owner), pair[1])
    before = [shard for shard, owner in leases.owners().items() if owner == zombie.id]
    await _frozen(zombie.processes(), fault.seconds)
    after = leases.owners()
    moved = [shard for shard in before if after.get(shard, zombie.id) != zombie.id]
    # both write now
    await asyncio.sleep(_READING_SECONDS)
    return f"{zombie.id} was frozen for {fault.seconds:.1f} s, {len(moved)} of its {len(before)} leases moved"


async def _split(world: World, fault: Planned) -> str:
    client, name = world.stack.client("kinesis"), world.stack.stream
    shards = _open_shards(world)
    shard = shards[int(fault.pick * len(shards))]
    low, high = _range(shard)
    middle = str((low + high) // 2 + 1)
    await asyncio.to_thread(
        client.split_shard, StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle
    )
    return f"{shard['ShardId']}; {len(shards) + 1} shards are open"


async def _merge(world: World, fault: Planned) -> str:
    client, name = world.stack.client("kinesis"), world.stack.stream
    shards = sorted(_open_shards(world), key=_range)
    place = int(fault.pick * (len(shards) - 1))
    first, second = shards[place]["ShardId"], shards[place + 1]["ShardId"]
    await asyncio.to_thread(
        client.merge_shards, StreamName=name, ShardToMerge=first, AdjacentShardToMerge=second
    )
    return f"{first} and {second}; {len(shards) - 1} shards are open"


def _open_shards(world: World) -> list[dict[str, dict[str, str]]]:
    shards = world.stack.client("kinesis").list_shards(StreamName=world.stack.stream)["Shards"]
    return [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]


def _range(shard: dict[str, dict[str, str]]) -> tuple[int, int]:
    return int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])


_ACTS: dict[str, Act] = {
    "kill_shard_process": _kill_shard_process,
    "kill_jvm": _kill_jvm,
    "kill_supervisor": _kill_supervisor,
    "kill_fork_server": _kill_fork_server,
    "freeze_shard_process": _freeze_shard_process,
    "restart": _restart,
    "second_worker": _second_worker,
    "two_owners": _two_owners,
    "split": _split,
    "merge": _merge,
}
