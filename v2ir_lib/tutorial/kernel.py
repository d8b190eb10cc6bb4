"""A notebook kernel of the running interpreter, with one limit on its whole life."""

import os
import signal
import sys
import threading
import time

import psutil

KERNEL_NAME = "python3"
_TICK = 0.2  # seconds between two looks at the kernel


class Kernel:
    """A kernel manager for papermill, and a watchdog beside it.

    No registered kernel is used, ours or another project's of the same name: the command is `sys.executable`. After
    `limit` seconds (None: never) the kernel is killed with everything that it started. On leaving, too.
    """

    def __init__(self, environment: dict[str, str], scratch: str, limit: float | None):
        from jupyter_client import AsyncKernelManager
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # An empty profile folder: no start-up files of the user's, the same run for everyone.
        spec = KernelSpec(
            argv=command,
            language="python",
            display_name="Python 3",
            env={"IPYTHONDIR": os.path.join(scratch, "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1", **environment},
        )

        class OnlyThis(KernelSpecManager):
            def get_kernel_spec(self, kernel_name):
                return spec

        self.manager = AsyncKernelManager(
            kernel_name=KERNEL_NAME,
            kernel_spec_manager=OnlyThis(),
            connection_file=os.path.join(scratch, "kernel.json"),
            transport="tcp" if os.name == "nt" else "ipc",  # sockets that only this user can open
        )
        self.limit = limit
        self.timed_out = False
        self.peak_memory = 0  # bytes
        self._over = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Kernel":
        self._watchdog.start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._watchdog.join()
        self._kill()

    def _watch(self) -> None:
        deadline = time.monotonic() + self.limit if self.limit else float("inf")
        while not self._over.wait(_TICK):
            family = self._family()
            self.peak_memory = max(self.peak_memory, sum(_resident(process) for process in family))
            if time.monotonic() > deadline and family:
                self.timed_out = True
                self._kill()
                return

    def _family(self) -> list[psutil.Process]:
        """The kernel and all that it started; nothing before it runs or after it is gone."""
        pid = getattr(self.manager.provisioner, "pid", None)
        try:
            return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if pid else []
        except psutil.Error:
            return []

    def _kill(self) -> None:
        for process in self._family():
            try:
                process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            except psutil.Error:
                pass
        child = getattr(self.manager.provisioner, "process", None)
        if child is not None:
            child.wait()  # leaves no zombie


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
