"""An allocation that fails while a record is made or written costs the record, not the process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

#: Each allocation of one record fails once, each time in a process of its own; the number of a crash is
#: printed. (Whether the record comes is not asked.)
PROGRAM = """
import _testcapi
import logging
import os
import resource

from tricorn.log.error import ERROR_LOGGER, take_over

MOST = 400

logger = take_over(os.open(os.devnull, os.O_WRONLY), logging.INFO)
logger.error("%s of %s", "first", ValueError("\\N{SNOWMAN}\\n"), extra={"block": "a\\nb"})
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for number in range(MOST):
    pid = os.fork()
    if not pid:
        _testcapi.set_nomemory(number, number + 1)
        try:
            logger.error("%s of %s", "request", ValueError("\\N{SNOWMAN}\\n"), extra={"block": "a\\nb"})
        except Exception:  # CPython may say SystemError, too
            pass
        finally:
            _testcapi.remove_mem_hooks()
        logger.error("%s goes on", "it")
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        print(number, os.WTERMSIG(status))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this CPython has no _testcapi")
def test_a_record_without_memory_is_lost_at_most() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
