"""One thread per library: small networks are fastest on one, and figures do not depend on the machine."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import envs  # noqa: E402, F401 (says what MuJoCo draws with, before a test imports MuJoCo)
