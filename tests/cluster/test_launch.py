"""The recipes are read by the tools they are for; here, that they are well-formed and guarded."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

LAUNCH = Path(__file__).parents[2] / "cluster" / "launch"


def load(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((LAUNCH / name).read_text())


def test_the_slurm_script_is_valid_bash_and_passes_ray_s_own_check_of_its_arguments(tmp_path):
    script = LAUNCH / "slurm.sh"
    tools = {
        "ray": 'case "$1" in get-auth-token) echo secret;; *) printf "%s\\n" "$@";; esac',
        "scontrol": "echo node1; echo node2",
        "srun": 'shift 3; [ "$1" = ray ] || exit 9; shift; printf "%s\\n" "$@"',
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"JOB_NODELIST": "node[1-2]", "JOB_ID": "123", "JOB_NUM_NODES": "2", "CPUS_PER_TASK": "8"}
    variables = {f"SLURM_{name}": value for name, value in slurm.items()}
    bash = shutil.which("bash")
    assert bash is not None
    ended = subprocess.run(
        [bash, str(script), "+experiment=digits"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ended.returncode == 0, ended.stderr
    assert "secret" not in ended.stdout
    arguments = ended.stdout.split()
    separator = arguments.index("--")
    command = ["python", "-m", "nas.run", "+experiment=digits", "run.dir=runs/slurm-123", "executor=ray"]
    assert arguments[separator + 1 :] == [*command, "executor.address=node1:20123"]
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    assert arguments[0] == "symmetric-run"
    kept = curate_and_validate_ray_start_args(arguments[1:separator])
    assert kept == ["--num-cpus=8", "--num-gpus=0", "--dashboard-host=127.0.0.1"]


def test_the_cluster_of_ssh_machines_follows_ray_s_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((files("ray.autoscaler") / "ray-schema.json").read_text())
    config = load("ray-up.yaml")
    assert "~/.ray/auth_token" in config["file_mounts"]
    for command in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        assert "RAY_AUTH_MODE=token ray start" in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    jsonschema.validate(config, schema)


def test_the_kubernetes_job_is_guarded_by_a_token_and_resumes():
    job = load("kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert "where=resume=$run" in job["spec"]["entrypoint"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
