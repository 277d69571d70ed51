"""A real Slurm of two nodes on this machine's loopback: no accounting, fake accelerators.

It lives in one folder, with a munge daemon and ports of its own, so several can run side by side
and beside a cluster's own. Jobs are preempted by partition ``hi``; a node that stops answering is
down after 20 seconds. Where this process ends in any way, an undertaker kills every process that
the cluster has started, jobs included: they are known by the folder in their environment.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
"""What has to be installed."""
NODES = ("n1", "n2")
DEVICES = 2
"""Accelerators of a node."""
START_SECONDS = 30.0
"""For all nodes to be idle after the start."""
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:"
"""Daemons are there, where a user's PATH may not look."""
CONFIGURATION = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits for as long as credentials last, 120 seconds unless told otherwise.
AuthInfo=socket={folder}/munge/socket,cred_expire=3
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
GresTypes=gpu
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
# How long commands try to reach a controller that is down; 10 seconds unless told otherwise.
MessageTimeout=2
SlurmdTimeout=20
SlurmctldTimeout=10
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
NodeName=DEFAULT CPUs=2 RealMemory=8000 Gres=gpu:{devices}
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second}
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=hi Nodes=n[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Return why no cluster can be started here; None where one can."""
    if sys.platform != "linux":
        return "a loopback Slurm needs Linux"
    if os.getuid() != 0:
        return "a loopback Slurm needs root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"not installed: {', '.join(absent)}; see scripts/install-engines" if absent else None


class SlurmLoopback:
    """The cluster; a context that starts it and leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which is made; nothing is started yet."""
        self.folder = folder.absolute()
        self.environment: Mapping[str, str] = {
            **os.environ,
            "PATH": _path(),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._undertaker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the daemons and wait until both nodes are idle."""
        for name in ("munge", "state", "spool", "log"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        self._configure()
        self._undertaker = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._start_munge()
            self.start_controller(forget=True)
            for node in NODES:
                self.start_node(node)
            self.await_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Kill every process of the cluster and wait until none is left."""
        if self._undertaker is not None and self._undertaker.stdin is not None:
            self._undertaker.stdin.close()
            self._undertaker.wait()
            self._undertaker = None
        for process in self._daemons.values():
            process.wait()
        self._daemons.clear()

    def run(self, *command: str, check: bool = True) -> str:
        """Return the output of a command of Slurm's, such as ``squeue``."""
        done = subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def start_controller(self, *, forget: bool = False) -> None:
        """Start slurmctld; with ``forget`` it knows nothing of earlier jobs."""
        self._start("slurmctld", "slurmctld", "-D", *(["-c"] if forget else []))

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._start(node, "slurmd", "-D", "-N", node)

    def kill(self, daemon: str) -> None:
        """Kill ``slurmctld`` or the slurmd of a node; jobs live on."""
        process = self._daemons.pop(daemon)
        process.kill()
        process.wait()

    def kill_job_daemon(self, job: str) -> None:
        """Kill the slurmstepd of a job: what it started lives on, unseen by Slurm."""
        for pid in list(processes_of(self.folder)):
            if _command(pid).startswith(f"slurmstepd: [{job}."):
                os.kill(pid, signal.SIGKILL)

    def mend(self) -> None:
        """End all jobs, start what was killed, and wait until every node is idle."""
        if "slurmctld" not in self._daemons:
            self.start_controller()
        for node in NODES:
            if node not in self._daemons:
                self.start_node(node)
            self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self.run("scancel", f"--user={getpass.getuser()}", check=False)
        self.await_idle()

    def await_idle(self) -> None:
        """Wait until every node is idle."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            states = self.run("sinfo", "-h", "-N", "-o", "%N %t", check=False).split("\n")
            if {f"{node} idle" for node in NODES} <= {state.strip() for state in states}:
                return
            time.sleep(0.1)
        logs = [path.read_text(errors="replace")[-2000:] for path in self.folder.glob("log/*")]
        raise RuntimeError("Slurm did not start:\n" + "\n".join(logs))

    def _configure(self) -> None:
        first, second, controller, daemon = _free_ports(4)
        text = CONFIGURATION.format(
            host=socket.gethostname(),
            user=getpass.getuser(),
            folder=self.folder,
            controller=controller,
            daemon=daemon,
            first=first,
            second=second,
            devices=DEVICES,
        )
        (self.folder / "slurm.conf").write_text(text)
        devices = self._fake_devices()
        gres = f"AutoDetect=off\nNodeName=n[1-2] Name=gpu Count={DEVICES} File={devices}\n"
        (self.folder / "gres.conf").write_text(gres)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    def _fake_devices(self) -> str:
        """Return files that slurmd takes for accelerators: it wants character devices."""
        try:
            for number in range(DEVICES):
                # As /dev/null (null(4)), by a name with the accelerator's number.
                os.mknod(self.folder / f"gpu{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:  # Some containers forbid it.
            return f"/dev/tty[0-{DEVICES - 1}]"
        return f"{self.folder}/gpu[0-{DEVICES - 1}]"

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        files = [f"--{name}-file={folder / name}" for name in ("key", "pid", "log", "seed")]
        self._start(
            "munged", "munged", "--foreground", "--force", f"--socket={folder}/socket", *files
        )
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "socket").exists():
            if self._daemons["munged"].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log" / "munged.out").read_text())
            time.sleep(0.02)

    def _start(self, name: str, *command: str) -> None:
        # Daemons and their jobs must not hold the output of whoever started the tests open.
        with open(self.folder / "log" / f"{name}.out", "ab") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )


def _path() -> str:
    return SYSTEM_PATH + os.environ.get("PATH", os.defpath)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def processes_of(folder: Path) -> Iterator[int]:
    """Yield the processes whose environment names the cluster in ``folder``."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            if _environment(int(name)).get("SLURM_CONF") == str(folder / "slurm.conf"):
                yield int(name)


def _environment(pid: int) -> dict[str, str]:
    """Return the environment that a process started with; empty for one that is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (entry.decode(errors="replace").partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def bury(folder: Path) -> None:
    """Kill the processes of a cluster until none is left."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = [pid for pid in processes_of(folder) if not _is_zombie(pid)]
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


def main() -> int:
    """Wait until the process that started this one ends or says so; then bury its cluster."""
    sys.stdin.buffer.read()
    bury(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
