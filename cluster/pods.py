"""Pods: what Kubeflow's TFJob, JobSet and TensorBoard's Deployment share."""

import os
from collections.abc import Sequence
from typing import Any, Optional

import yaml

from cluster import job as job_lib
from cluster import tf_config

# Of the Dockerfile; volumes are made writable for it.
_USER = 1000
# After SIGTERM a run ends its step and saves a checkpoint.
_SECONDS_TO_SAVE = 300
# Parameter servers and workers live on while the chief saves what they hold.
_SECONDS_FOR_CHIEF = 120

NOTE = """\
# Exit codes of a task: 0 done; 1 wrong use or bad input, which ends the job;
# 143 stopped by SIGTERM after saving a checkpoint, which is tried again and
# goes on from there, as are other codes from 128 on (killed by a signal).
"""


def metadata(job: job_lib.JobSpec, suffix: str = '') -> dict:
  """Returns `metadata` of an object called NAME + suffix."""
  return {
    'name': job.name + suffix,
    'namespace': job.namespace,
    'labels': labels(job, suffix),
  }


def labels(job: job_lib.JobSpec, suffix: str = '') -> dict:
  """Returns the labels of an object called NAME + suffix and of its pods."""
  return {'app.kubernetes.io/name': job.name + suffix}


def template(
  job: job_lib.JobSpec,
  kind: str,
  container: str,
  env: Optional[Sequence[dict]] = None,
) -> dict:
  """Returns the pod template of a task without its restartPolicy.

  Args:
    job: from spec.load.
    kind: task type.
    container: name of the container.
    env: its environment variables, in order.
  """
  content = {
    'name': container,
    'image': job.image,
    # The image's entry point is python -m below an init process: as process 1
    # Python would not see a SIGTERM that it has no handler for.
    'args': job.words(kind),
    **({'env': list(env)} if env else {}),
    'ports': [{'name': 'tfjob-port', 'containerPort': tf_config.PORT}],
    'resources': _resources(job.cpus, job.memory, job.gpus_of(kind)),
    'volumeMounts': [_mount(v) for v in job.volumes],
  }
  if job.asynchronous and kind in ('ps', 'worker'):
    sleep = {'command': ['sleep', str(_SECONDS_FOR_CHIEF)]}
    content['lifecycle'] = {'preStop': {'exec': sleep}}
  return {
    'metadata': {
      'labels': labels(job),
      # Istio's proxy would hold up the traffic between the tasks.
      'annotations': {'sidecar.istio.io/inject': 'false'},
    },
    'spec': {
      'terminationGracePeriodSeconds': _SECONDS_TO_SAVE,
      'securityContext': _security(),
      'containers': [content],
      'volumes': [_volume(v) for v in job.volumes],
    },
  }


def tensorboard(job: job_lib.JobSpec) -> list:
  """Returns a Deployment and a Service that show the run's curves."""
  suffix = '-tensorboard'
  volume = job.volume_of(job.model_dir)
  container = {
    'name': 'tensorboard',
    'image': job.image,
    'args': [
      'tensorboard.main',
      f'--logdir={job.model_dir}',
      '--port=6006',
      '--bind_all',
    ],
    'ports': [{'name': 'http', 'containerPort': 6006}],
    'resources': _resources(1, '2Gi', 0),
    'volumeMounts': [{**_mount(volume), 'readOnly': True}],
  }
  pod = {
    'metadata': {'labels': labels(job, suffix)},
    'spec': {
      'securityContext': _security(),
      'containers': [container],
      'volumes': [_volume(volume)],
    },
  }
  deployment = {
    'apiVersion': 'apps/v1',
    'kind': 'Deployment',
    'metadata': metadata(job, suffix),
    'spec': {
      'replicas': 1,
      'selector': {'matchLabels': labels(job, suffix)},
      'template': pod,
    },
  }
  service = {
    'apiVersion': 'v1',
    'kind': 'Service',
    'metadata': metadata(job, suffix),
    'spec': {
      'selector': labels(job, suffix),
      'ports': [{'name': 'http', 'port': 6006, 'targetPort': 'http'}],
    },
  }
  return [deployment, service]


def to_yaml(documents: Sequence[Any], note: str) -> str:
  """Returns the text of a file for kubectl.

  Args:
    documents: Kubernetes objects.
    note: comment lines above them.
  """
  # Wide, so that commands and TF_CONFIG stay on their lines.
  text = yaml.safe_dump_all(
    documents, sort_keys=False, width=100_000, explicit_start=True
  )
  return note + text


def _resources(cpus, memory, gpus):
  amounts = {'cpu': cpus, 'memory': memory}
  if gpus:
    amounts['nvidia.com/gpu'] = gpus
  return {'requests': {**amounts}, 'limits': {**amounts}}


def _security():
  return {'runAsNonRoot': True, 'runAsUser': _USER, 'fsGroup': _USER}


def _mount(volume):
  return {
    'name': volume.name,
    'mountPath': os.path.normpath(volume.mount),
    'readOnly': volume.read_only,
  }


def _volume(volume):
  source = {
    'pvc': lambda claim: {'persistentVolumeClaim': {'claimName': claim}},
    'nfs': lambda nfs: {'nfs': {**nfs}},
    'host_path': lambda path: {'hostPath': {'path': path, 'type': 'Directory'}},
  }[volume.kind](volume.source)
  return {'name': volume.name, **source}
