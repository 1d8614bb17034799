"""Plain Kubernetes with JobSet (jobset.x-k8s.io/v1alpha2).

Each task type is one Indexed Job. JobSet makes the headless service, in which
the pod of a task is called NAME-TYPE-0-INDEX.NAME. TF_CONFIG is the same text
in all pods of a type but for the index, which Kubernetes puts in.
"""

from cluster import job as job_lib
from cluster import pods, tf_config

# 1: wrong use, bad input, an error in the program. The others are the shell's
# and the container runtime's: no such program, not to be run.
PERMANENT = (1, 2, 126, 127)
STOPPED = 143

_INDEX = 'TASK_INDEX'
_NOTE = """\
# A code that a podFailurePolicy lists as FailJob fails the Job, and with it the
# JobSet. Any other restarts all tasks together, as they have to meet again, up
# to maxRestarts times. Only a task that the others can wait for is replaced
# alone after 143: an evaluator, a worker of parameter servers.
"""


def render(job: job_lib.JobSpec) -> dict:
  """Returns {file name: text}.

  Args:
    job: from spec.load.
  """
  cluster = tf_config.cluster_of(
    job, lambda kind, i: f'{_host(job, kind, i)}:{tf_config.PORT}'
  )
  content = {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': pods.metadata(job),
    'spec': {
      'network': {
        'enableDNSHostnames': True,
        'publishNotReadyAddresses': True,
        'subdomain': job.name,
      },
      'successPolicy': {
        'operator': 'All',
        'targetReplicatedJobs': _ending(job),
      },
      'failurePolicy': {
        'maxRestarts': job.retries,
        'rules': [
          {
            'name': 'permanent',
            'action': 'FailJobSet',
            'onJobFailureReasons': ['PodFailurePolicy'],
          }
        ],
      },
      'replicatedJobs': [
        {
          'name': kind,
          'replicas': 1,
          'template': {'spec': _job(job, kind, count, cluster)},
        }
        for kind, count in tf_config.all_tasks(job).items()
      ],
    },
  }
  name = f'{job.name}-jobset.yaml'
  return {name: pods.to_yaml([content], pods.NOTE + _NOTE)}


def _host(job, kind, index):
  return f'{job.name}-{kind}-0-{index}.{job.name}'


def _ending(job):
  """Task types that end by themselves when the training is done."""
  kinds = tf_config.all_tasks(job)
  if job.asynchronous:
    kinds = [kind for kind in kinds if kind not in ('ps', 'worker')]
  return list(kinds)


def _job(job, kind, count, cluster):
  alone = kind == 'evaluator' or (kind == 'worker' and job.asynchronous)
  rules = [
    {
      'action': 'FailJob',
      'onExitCodes': {'operator': 'In', 'values': list(PERMANENT)},
    }
  ]
  if alone:
    rules += [
      {
        'action': 'Ignore',
        'onExitCodes': {'operator': 'In', 'values': [STOPPED]},
      },
      {
        'action': 'Ignore',
        'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}],
      },
    ]
  pod = pods.template(job, kind, 'train', _environment(job, kind, cluster))
  # A podFailurePolicy wants Never: new pods, not new containers.
  pod['spec'] = {'restartPolicy': 'Never', **pod['spec']}
  return {
    'completionMode': 'Indexed',
    'completions': count,
    'parallelism': count,
    'backoffLimit': job.retries if alone else 0,
    'podFailurePolicy': {'rules': rules},
    'template': pod,
  }


def _environment(job, kind, cluster):
  if not tf_config.is_needed(job):
    return None
  index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
  return [
    # Not Kubernetes' own JOB_COMPLETION_INDEX: it comes after TF_CONFIG, which
    # can only refer to variables before it.
    {'name': _INDEX, 'valueFrom': {'fieldRef': {'fieldPath': index}}},
    {
      'name': 'TF_CONFIG',
      'value': tf_config.text(cluster, kind, f'$({_INDEX})'),
    },
  ]
