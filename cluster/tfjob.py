"""Kubeflow's TFJob (kubeflow.org/v1): its operator sets TF_CONFIG."""

from cluster import job as job_lib
from cluster import pods, tf_config

_REPLICAS = {
  'chief': 'Chief',
  'ps': 'PS',
  'worker': 'Worker',
  'evaluator': 'Evaluator',
}
_NOTE = """\
# A TFJob ends with its chief, or without one with its first worker; an
# evaluator that is still busy then is stopped: --mode=eval repeats its work.
# With restartPolicy ExitCode the operator does not count every restart, so
# backoffLimit is no strict bound.
"""


def render(job: job_lib.JobSpec) -> dict:
  """Returns {file name: text}.

  restartPolicy ExitCode means: codes from 1 to 127 are permanent, those from
  128 on are tried again, which is what the binaries' exit codes are made for.

  Args:
    job: from spec.load.
  """
  content = {
    'apiVersion': 'kubeflow.org/v1',
    'kind': 'TFJob',
    'metadata': pods.metadata(job),
    'spec': {
      'runPolicy': {
        # Workers and parameter servers run on when the chief is done.
        'cleanPodPolicy': 'Running',
        'backoffLimit': job.retries,
      },
      'tfReplicaSpecs': {
        _REPLICAS[kind]: {
          'replicas': count,
          'restartPolicy': 'ExitCode',
          # The operator looks for a container of this name.
          'template': pods.template(job, kind, 'tensorflow'),
        }
        for kind, count in tf_config.all_tasks(job).items()
      },
    },
  }
  name = f'{job.name}-tfjob.yaml'
  return {name: pods.to_yaml([content], pods.NOTE + _NOTE)}
