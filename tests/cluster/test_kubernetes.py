"""What a cluster would make of the rendered YAML, task by task."""

import json
import re

import pytest
import yaml

from cluster import command, render
from official_repro.core import cluster_config
from official_repro.core import flags as core_flags
from tests.cluster import examples

TARGETS = ('tfjob', 'jobset')


def _documents(name, target):
  files = render.render(examples.load(name), target)
  return {file: list(yaml.safe_load_all(text)) for file, text in files.items()}


def _main(name, target):
  job = examples.load(name)
  (document,) = _documents(name, target)[f'{job.name}-{target}.yaml']
  return document


def _tasks_of_tfjob(content):
  """As Kubeflow's operator does: addresses by service, no evaluator in them."""
  specs = content['spec']['tfReplicaSpecs']
  name = content['metadata']['name']
  domain = f'{content["metadata"]["namespace"]}.svc'
  containers = {}
  for kind, replica in specs.items():
    (container,) = replica['template']['spec']['containers']
    assert container['name'] == 'tensorflow'
    (port,) = container['ports']
    assert port['name'] == 'tfjob-port'
    containers[kind.lower()] = container, replica['replicas'], port
  cluster = {
    kind: [
      f'{name}-{kind}-{i}.{domain}:{port["containerPort"]}'
      for i in range(count)
    ]
    for kind, (_, count, port) in containers.items()
    if kind != 'evaluator'
  }
  alone = sum(count for _, count, _ in containers.values()) == 1
  for kind, (container, count, _) in containers.items():
    for i in range(count):
      text = json.dumps(
        {'cluster': cluster, 'task': {'type': kind, 'index': i}}
      )
      yield examples.Task(
        kind, i, container['args'], None if alone else text, container
      )


def _tasks_of_jobset(content):
  """As Kubernetes does: env in order, $(NAME) from the ones before."""
  for replicated in content['spec']['replicatedJobs']:
    assert replicated['replicas'] == 1
    job = replicated['template']['spec']
    assert job['completionMode'] == 'Indexed'
    assert job['completions'] == job['parallelism']
    (container,) = job['template']['spec']['containers']
    for i in range(job['completions']):
      values = {}
      for variable in container.get('env', ()):
        values[variable['name']] = _value(variable, values, i)
      yield examples.Task(
        replicated['name'],
        i,
        container['args'],
        values.get('TF_CONFIG'),
        container,
      )


def _value(variable, before, index):
  if 'value' not in variable:
    path = variable['valueFrom']['fieldRef']['fieldPath']
    assert path.endswith("['batch.kubernetes.io/job-completion-index']")
    return str(index)
  return re.sub(r'\$\((\w+)\)', lambda m: before[m[1]], variable['value'])


def _tasks(name, target):
  tasks = {'tfjob': _tasks_of_tfjob, 'jobset': _tasks_of_jobset}[target]
  return list(tasks(_main(name, target)))


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('name', examples.NAMES)
def test_each_task_has_a_right_cluster_and_command(name, target):
  job = examples.load(name)
  tasks = _tasks(name, target)
  expected = job.chief + job.workers + job.ps + job.evaluator
  assert len(tasks) == expected
  for task in tasks:
    module, *words = task.words
    assert module == job.module
    values = dict(word[2:].split('=', 1) for word in words)
    strategy = command.parse(values).strategy
    config = cluster_config.from_environment(
      {'TF_CONFIG': task.tf_config} if task.tf_config else {}
    )
    cluster_config.check(config, strategy)
    if config:
      assert (config.task_type, config.task_index) == (task.kind, task.index)
      sizes = {k: len(v) for k, v in config.cluster.items()}
      assert sizes.get('worker') == job.workers
      assert sizes.get('ps', 0) == job.ps
      assert sizes.get('chief', 0) == job.chief
    else:
      assert expected == 1
    assert values['model_dir'] == job.flags['model_dir']


def test_pods_of_a_jobset_meet_at_their_names():
  task = _tasks('pose', 'jobset')[2]
  # JobSet's rule: NAME-REPLICATEDJOB-JOBINDEX-PODINDEX.SUBDOMAIN
  assert json.loads(task.tf_config) == {
    'cluster': {
      'chief': ['coco-pose-chief-0-0.coco-pose:2222'],
      'worker': [f'coco-pose-worker-0-{i}.coco-pose:2222' for i in range(3)],
    },
    'task': {'type': 'worker', 'index': 1},
  }
  network = _main('pose', 'jobset')['spec']['network']
  assert network['enableDNSHostnames'] is True
  assert network['subdomain'] == 'coco-pose'


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('name', examples.NAMES)
def test_folders_of_the_command_are_mounted(name, target):
  job = examples.load(name)
  for task in _tasks(name, target):
    mounts = {m['mountPath']: m for m in task.container['volumeMounts']}
    for flag in ('data_dir', 'model_dir'):
      top = '/' + job.flags[flag].split('/')[1]
      assert mounts[top]['readOnly'] is (flag == 'data_dir')


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(
  'name, source',
  [
    ('pose', {'persistentVolumeClaim': {'claimName': 'training-data'}}),
    (
      'object_detection',
      {'nfs': {'server': 'storage', 'path': '/export/data'}},
    ),
    ('deeplab', {'hostPath': {'path': '/data', 'type': 'Directory'}}),
  ],
)
def test_volumes(name, target, source):
  pod = next(_pods(_main(name, target)))
  assert pod['volumes'][0] == {'name': 'data', **source}
  names = {m['name'] for m in pod['containers'][0]['volumeMounts']}
  assert names == {v['name'] for v in pod['volumes']}
  # so that process 1000 of the image can write, and a run can save
  assert pod['securityContext']['fsGroup'] == 1000
  assert pod['terminationGracePeriodSeconds'] >= 300


def _pods(content):
  specs = content['spec'].get('tfReplicaSpecs')
  if specs:
    for replica in specs.values():
      yield replica['template']['spec']
  else:
    for replicated in content['spec']['replicatedJobs']:
      yield replicated['template']['spec']['template']['spec']


@pytest.mark.parametrize('name', examples.NAMES)
def test_tfjob_tries_143_again_and_not_1(name):
  content = _main(name, 'tfjob')
  assert content['apiVersion'] == 'kubeflow.org/v1'
  for replica in content['spec']['tfReplicaSpecs'].values():
    # ExitCode: 1-127 permanent, 128-255 tried again, so that 138 is as 143.
    assert replica['restartPolicy'] == 'ExitCode'
    assert core_flags.LOST_PEER >= 128
    # the operator sets that of the pod
    assert 'restartPolicy' not in replica['template']['spec']
  assert content['spec']['runPolicy'] == {
    'cleanPodPolicy': 'Running',
    'backoffLimit': examples.load(name).retries,
  }


def _action(job, code):
  """What Kubernetes' Job controller does when a pod ends with the code."""
  for rule in job['podFailurePolicy']['rules']:
    if code in rule.get('onExitCodes', {}).get('values', ()):
      return rule['action']
  return 'Count'


@pytest.mark.parametrize('name', examples.NAMES)
def test_jobset_tries_143_again_and_not_1(name):
  job = examples.load(name)
  content = _main(name, 'jobset')
  assert content['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'
  policy = content['spec']['failurePolicy']
  assert policy['maxRestarts'] == job.retries
  # Only a Job that failed by a rule below ends the set; others restart it.
  (rule,) = policy['rules']
  assert rule['action'] == 'FailJobSet'
  assert rule['onJobFailureReasons'] == ['PodFailurePolicy']
  for replicated in content['spec']['replicatedJobs']:
    part = replicated['template']['spec']
    alone = replicated['name'] == 'evaluator' or (
      replicated['name'] == 'worker' and job.asynchronous
    )
    assert part['template']['spec']['restartPolicy'] == 'Never'
    for code in (1, 2, 126, 127):
      assert _action(part, code) == 'FailJob'
    # Replaced alone, or the first one restarts the set.
    assert _action(part, 143) == ('Ignore' if alone else 'Count')
    # Those that wait for a lost task are never alone: this restarts the set.
    assert _action(part, core_flags.LOST_PEER) == 'Count'
    assert part['backoffLimit'] == (job.retries if alone else 0)


@pytest.mark.parametrize(
  'name, ending',
  [
    ('official_repro', ['chief', 'evaluator']),
    ('object_detection', ['chief']),
    ('deeplab', ['worker']),
    ('pose', ['chief', 'worker', 'evaluator']),
  ],
)
def test_jobset_ends_with_the_tasks_that_end(name, ending):
  policy = _main(name, 'jobset')['spec']['successPolicy']
  assert policy == {'operator': 'All', 'targetReplicatedJobs': ending}


@pytest.mark.parametrize('target', TARGETS)
def test_gpus(target):
  amounts = {
    task.kind: task.container['resources']['limits'].get('nvidia.com/gpu', 0)
    for task in _tasks('official_repro', target)
  }
  assert amounts == {'chief': 0, 'ps': 0, 'worker': 1, 'evaluator': 1}


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('name', examples.NAMES)
def test_image_and_resources_are_those_of_the_spec(name, target):
  content = examples.content(name)
  for task in _tasks(name, target):
    assert task.container['image'] == content['image']
    limits = dict(task.container['resources']['limits'])
    assert task.container['resources']['requests'] == limits
    limits.pop('nvidia.com/gpu', None)
    assert limits == {'cpu': content['cpus'], 'memory': content['memory']}


@pytest.mark.parametrize('target', TARGETS)
def test_servers_outlive_the_saving_chief(target):
  for task in _tasks('official_repro', target):
    waits = 'lifecycle' in task.container
    assert waits == (task.kind in ('ps', 'worker'))
  assert not any('lifecycle' in t.container for t in _tasks('pose', target))


@pytest.mark.parametrize('target', TARGETS)
def test_tensorboard_shows_the_run(target):
  files = _documents('official_repro', target)
  deployment, service = files['jft-resnet101-tensorboard.yaml']
  assert (deployment['kind'], service['kind']) == ('Deployment', 'Service')
  pod = deployment['spec']['template']
  (container,) = pod['spec']['containers']
  assert '--logdir=/runs/jft-resnet101' in container['args']
  assert [m['mountPath'] for m in container['volumeMounts']] == ['/runs']
  selector = service['spec']['selector']
  assert selector == deployment['spec']['selector']['matchLabels']
  assert selector.items() <= pod['metadata']['labels'].items()
  # The Service must not find the tasks.
  for task_pod in _main('official_repro', target)['spec'].values():
    assert json.dumps(selector)[1:-1] not in json.dumps(task_pod)
  assert len(_documents('pose', target)) == 1


@pytest.mark.parametrize('target', TARGETS)
def test_yaml_is_plain(target):
  for text in render.render(examples.load('official_repro'), target).values():
    body = text.partition('---\n')[2]
    assert not re.search(r'[&*]id\d|!!', body)
    assert body.startswith('apiVersion: ')
    assert body.splitlines()[1].startswith('kind: ')
