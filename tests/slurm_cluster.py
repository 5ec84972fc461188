"""A one-node SLURM cluster on loopback, for the duration of a test or a command.

``python -m tests.slurm_cluster COMMAND...`` runs a command (by default: a shell) in which sbatch,
squeue and the others use it, and stops it afterwards. Debian and Ubuntu have the packages:
``apt-get install slurm-wlm munge``. It needs no root, no systemd and no cgroups, does not read the
machine's configuration, and leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

_COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
_DEVICES = ("/dev/null", "/dev/zero")  # stand for GPUs
_STARTS_WITHIN_S = 60.0
_STOPS_WITHIN_S = 20.0

# Key by key, see `man slurm.conf`. Ended jobs stay in the controller's memory for MinJobAge, where
# `scontrol show job` finds them; sacct has no data, since accounting needs a database.
# Requeued jobs are held until credentials expire (two minutes by default).
_SLURM_CONF = """\
ClusterName=sedtf
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU={memory_per_cpu_mb}
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=1
MinJobAge=86400
KillWait=10
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
{node} NodeAddr=127.0.0.1 Gres=gpu:{n_gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class ClusterError(Exception):
    """The cluster cannot be started here; the message says why."""


@contextmanager
def one_node_cluster(*, n_gpus: int = 0) -> Iterator[dict[str, str]]:
    """Start a cluster; yield the environment variables for SLURM's commands; stop it.

    Args:
        n_gpus: number of GPUs, at most 2, promised to the scheduler; none need exist.

    Raises:
        ClusterError: if SLURM is not installed or does not start.
    """
    missing = missing_commands()
    if missing:
        raise ClusterError(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge")
    # Short, since a socket path has at most 107 characters; readable, as munge requires.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        _configure(folder, n_gpus)
        environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        with ExitStack() as running:
            daemons = []
            for name, flags in _daemons(folder).items():
                daemons.append(
                    _start([str(_path(name)), *flags], folder / f"{name}.out", environment)
                )
                running.callback(_stop, daemons[-1])
            _wait_until_idle(folder, environment, daemons)
            yield environment
            _cancel_all(environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def missing_commands() -> list[str]:
    """Commands of SLURM and munge that are not installed."""
    return [name for name in _COMMANDS if _path(name) is None]


def _path(command: str) -> str | None:
    """Path of a command; the daemons' folders are not on every user's PATH."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    return shutil.which(command, path=os.pathsep.join(places))


def _configure(folder: Path, n_gpus: int) -> None:
    """Write munge's key and SLURM's configuration, with the machine's cores and memory."""
    slurmd = str(_path("slurmd"))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    hardware = subprocess.run([slurmd, "-C"], capture_output=True, text=True, check=True).stdout
    node = hardware.splitlines()[0]  # NodeName=... CPUs=... RealMemory=..., as in slurm.conf
    values = dict(word.split("=", 1) for word in node.split())
    controller_port, node_port = _free_ports(2)
    text = _SLURM_CONF.format(
        folder=folder,
        host=values["NodeName"],
        node=node,
        user=_user(),
        controller_port=controller_port,
        node_port=node_port,
        memory_per_cpu_mb=int(values["RealMemory"]) // int(values["CPUs"]),
        n_gpus=n_gpus,
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    # slurmd loads a plugin for control groups even if nothing uses them; version 1 touches none.
    version = subprocess.run([slurmd, "-V"], capture_output=True, text=True, check=True).stdout
    plugin = "disabled" if _release(version) >= (23, 2) else "cgroup/v1"
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n", encoding="utf-8")
    # To SLURM a GPU is any character device; they are numbered in the order of this file.
    gres = "".join(f"Name=gpu File={device}\n" for device in _DEVICES[:n_gpus])
    (folder / "gres.conf").write_text(gres, encoding="utf-8")


def _daemons(folder: Path) -> dict[str, list[str]]:
    """The daemons in start order, each kept in the foreground."""
    munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
    files = [f"--{option}={folder}/munge.{ending}" for option, ending in munge.items()]
    return {
        "munged": ["--foreground", *files],
        "slurmctld": ["-D", "-c"],
        "slurmd": ["-D", "-c"],
    }


def _start(
    command: list[str], output: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C is for the foreground command
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_idle(
    folder: Path, environment: Mapping[str, str], daemons: list[subprocess.Popen[bytes]]
) -> None:
    """Wait until the node accepts jobs."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline and all(daemon.poll() is None for daemon in daemons):
        if _ask(["sinfo", "--noheader", "--format=%T"], environment).strip() == "idle":
            return
        time.sleep(0.2)
    ends = [
        f"{log.name}: {' / '.join(log.read_text(errors='replace').splitlines()[-3:])}"
        for log in sorted(folder.glob("*.out"))
    ]
    raise ClusterError(f"SLURM did not come up; its daemons' last words: {'; '.join(ends)}")


def _cancel_all(environment: Mapping[str, str]) -> None:
    """Cancel all jobs before the cluster stops."""
    for job in _ask(["squeue", "--noheader", "--format=%A"], environment).split():
        _ask(["scancel", "--signal=KILL", "--full", job], environment)
        _ask(["scancel", job], environment)
    deadline = time.monotonic() + _STOPS_WITHIN_S
    while _ask(["squeue", "--noheader"], environment).strip() and time.monotonic() < deadline:
        time.sleep(0.2)


def _ask(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    return done.stdout


def _free_ports(count: int) -> list[int]:
    with ExitStack() as bound:
        sockets = [bound.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _release(version: str) -> tuple[int, int]:
    """``slurm-wlm 22.05.8`` as (22, 5)."""
    major, minor = version.split()[-1].split(".")[:2]
    return int(major), int(minor)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def main() -> int:
    """Run a command with a separate cluster."""
    command = sys.argv[1:] or [os.environ.get("SHELL", "/bin/sh")]
    try:
        with one_node_cluster() as environment:
            sys.stderr.write(f"SLURM is up: SLURM_CONF={environment['SLURM_CONF']}\n")
            return subprocess.run(
                command, env={**os.environ, **environment}, check=False
            ).returncode
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
