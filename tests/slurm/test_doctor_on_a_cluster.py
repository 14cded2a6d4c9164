"""``nano-hpo doctor`` where Slurm is at work, on a login node and within a job."""

import json
import sys
from pathlib import Path

DOCTOR = (str(Path(sys.executable).with_name("nano-hpo")), "doctor", "--json")


def test_the_controller_and_the_job_are_seen(cluster, tmp_path):
    for before, in_job in (((), False), (("srun", "-n1"), True)):
        checks = json.loads(cluster.call(*before, *DOCTOR, folder=tmp_path))
        found = {one["topic"]: one for one in checks}
        assert found["Slurm"]["verdict"] == found["controller"]["verdict"] == "good"
        assert "UP" in found["controller"]["said"]
        assert found["job"]["verdict"] == ("good" if in_job else "none")
