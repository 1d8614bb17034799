"""Runs one experiment from resolved options: the loop of all four binaries.

Load order: newest checkpoint in model_dir > --init_checkpoint > random.
"""

import contextlib
import fractions
import math
import os
import shutil
import sys
import tempfile
import time
from typing import Any

import orbit
import tensorflow as tf
from official.core import base_task

from official_repro.core import (
  acceleration,
  agreement,
  checkpoint_files,
  checkpoints,
  observers,
  peers,
  server_variables,
  watchdog,
)
from official_repro.core import flags as core_flags
from official_repro.core import model_dir as model_dir_lib
from official_repro.core import strategy as strategy_lib
from official_repro.core import trainer as trainer_lib

# How often continuous_eval looks whether the training has ended.
_POLL_SECONDS = 5


def run(options: core_flags.RunOptions, task_class: type[base_task.Task]):
  """Trains and evaluates as the options say.

  Args:
    options: from flags.training_options.
    task_class: a Task that also has `resolve(config)` (class method: fills in
      what the data decides), `train_records(config)` (class method: records
      of the training split), `metadata()`, `record_ids(position)`,
      `data_hash()`, `write_assets(model_dir)`, `validation_batches()`,
      `input_sheets(count)` and `prediction_sheets(model, count)`.

  Returns:
    {metric: float} of the last evaluation, {} where there was none.

  Raises:
    ValueError: bad input, in one sentence.
    flags.StoppedError: SIGTERM came; the state is saved.
    flags.LostPeerError: a task of the cluster was lost.
  """
  # Before anything makes a tensor: it decides how devices are started.
  acceleration.configure(options.config.runtime)
  strategy = options.config.runtime.strategy
  if strategy == 'parameter_server':
    _check_mode(options)
  cluster = strategy_lib.cluster(strategy)
  if cluster and cluster.others():
    _check_mode(options)
  if strategy_lib.serves(strategy, cluster):
    growth = options.config.runtime.memory_growth
    strategy_lib.serve(cluster, options.model_dir, growth)
  config = task_class.resolve(options.config)
  if options.epochs is not None and options.mode != 'eval':
    steps = steps_of_epochs(
      options.epochs,
      task_class.train_records(config),
      config.task.train_data.global_batch_size,
    )
    config = config.replace(trainer={'train_steps': steps})
  if 'train' not in options.mode:
    return _Run(config, options, task_class, cluster).evaluate()
  with contextlib.ExitStack() as stack:
    if cluster is None or cluster.leads:
      stack.enter_context(model_dir_lib.locked(options.model_dir))
      checkpoint_files.remove_leftovers(options.model_dir)
    return _Run(config, options, task_class, cluster).train()


def steps_of_epochs(epochs: float, records: int, batch_size: int) -> int:
  """Returns the steps after which every record was seen `epochs` times.

  Args:
    epochs: passes, as the user wrote them: 1.3 means 13 / 10.
    records: of the training split.
    batch_size: global.
  """
  passes = fractions.Fraction(str(epochs))
  return math.ceil(passes * records / batch_size)


def _check_mode(options):
  if options.mode != 'train':
    raise ValueError(
      f'Strategy {options.config.runtime.strategy} cannot do '
      f'--mode={options.mode} in a cluster; use --mode=train, and beside it a '
      'process with --mode=continuous_eval --strategy=one_device on the same '
      '--model_dir.'
    )


class _Run:
  """State of one run between its phases."""

  def __init__(self, config, options, task_class, cluster=None):
    self.config, self.options, self.cluster = config, options, cluster
    self.model_dir = options.model_dir
    # Of the processes that train together, one writes the run's files.
    self.leads = cluster is None or cluster.leads
    self.train_wanted = 'train' in options.mode
    self.eval_wanted = 'eval' in options.mode
    self.resume = model_dir_lib.resume_from(
      self.model_dir, options.resume if self.train_wanted else 'auto'
    )
    if options.mode == 'eval' and not self.resume:
      raise ValueError(
        f'Folder --model_dir {self.model_dir!r} holds no checkpoint to '
        'evaluate.'
      )
    tf.keras.utils.set_random_seed(config.runtime.seed)
    self.signal = observers.SignalFlag()
    self._stopping = False
    self._step = 0  # the last one that ended, as far as this process knows
    # Time, the trainer's data wait and the step at the curves' last point.
    self._point = (0.0, 0.0, 0)
    self._evaluating = None  # progress of the evaluation that runs, if any
    self._waited = 0  # seconds without a new checkpoint, continuous_eval
    with peers.lost_is_told(cluster, self._where):
      self._meet()
      self.task = task_class(config.task, logging_dir=self.model_dir)
      self.task.seed = config.runtime.seed
      if self.resume:
        model_dir_lib.check_resumable(self.resume, self.task.metadata())
        self.task.start_position = checkpoints.read_position(self.resume)
      self.agreement.check_same(
        self.task.start_position, 'the position to go on from'
      )
      self._build()

  def _meet(self):
    runtime = self.config.runtime
    peers.wait_for_all(self.cluster, runtime.cluster_timeout)
    # For who comes and dies at once.
    with watchdog.time_limit(runtime.cluster_timeout if self.cluster else 0):
      self.strategy = strategy_lib.create(runtime.strategy, self.cluster)
    self.agreement = self._make_agreement()
    agreement.tell_of_onednn(self.agreement, self.cluster, self.model_dir)

  def _make_agreement(self):
    if self.config.runtime.strategy != 'multi_worker_mirrored':
      return agreement.Agreement(self.strategy)
    names = self.cluster.trainers if self.cluster else ('',)
    index = names.index(self.cluster.name) if self.cluster else 0
    return agreement.Agreement(self.strategy, index, len(names))

  def _build(self):
    placed = server_variables.placed_by_size(self.strategy)
    with self.strategy.scope(), placed:
      model = self.task.build_model()
      optimizer = self.task.create_optimizer(
        self.config.trainer.optimizer_config, self.config.runtime
      )
      self.trainer = trainer_lib.Trainer(
        self.config,
        self.task,
        model,
        optimizer,
        train=self.train_wanted,
        evaluate=self.eval_wanted,
      )
    if not self.leads:
      # Saving reads variables of all processes, so all of them must save.
      self._spare = tempfile.mkdtemp(prefix='checkpoints-')
    self.manager = checkpoint_files.Manager(
      self.trainer.checkpoint,
      self.model_dir if self.leads else self._spare,
      resume=self.resume,
      max_to_keep=self.config.trainer.max_to_keep,
      step_counter=self.trainer.global_step,
      checkpoint_interval=self.config.trainer.checkpoint_interval,
      init_fn=self.trainer.initialize,
    )
    self.progress = observers.Progress(
      self.trainer, self.config.trainer.train_steps
    )
    self.trainer.on_eval_step = self._on_eval_step
    # Orbit prints a line per loop, which would break the progress line.
    orbit.controller._log = lambda message: None

  def _controller(self):
    return orbit.Controller(
      strategy=self.strategy,
      trainer=self.trainer if self.train_wanted else None,
      evaluator=self.trainer if self.eval_wanted else None,
      global_step=self.trainer.global_step,
      steps_per_loop=self.config.trainer.steps_per_loop,
      checkpoint_manager=self.manager,
      summary_dir=self._events('train'),
      eval_summary_dir=self._events('validation'),
      train_actions=[self._after_loop],
      eval_actions=[self._after_evaluation],
      # In a cluster other tasks would wait all the same.
      enable_async_checkpointing=self.cluster is None,
    )

  def _events(self, folder):
    return os.path.join(self.model_dir, folder) if self.leads else None

  def train(self):
    """Trains to the end, evaluating on the way where the mode says so."""
    trainer_config = self.config.trainer
    if trainer_config.train_steps < 1:
      raise ValueError(
        f'train_steps is {trainer_config.train_steps}; set --train_steps to 1 '
        'or more.'
      )
    if self.leads:
      model_dir_lib.write_run_files(
        self.model_dir, self.config, self.task.data_hash()
      )
      self.task.write_assets(self.model_dir)
    self.trainer.should_stop = self._should_stop
    self.trainer.on_step = self._on_step
    self.trainer.on_wait = self._on_wait
    with contextlib.ExitStack() as stack:
      stack.enter_context(self.signal.listening())
      self.watchdog = stack.enter_context(self._make_watchdog())
      stack.enter_context(peers.lost_is_told(self.cluster, self._where))
      stack.enter_context(peers.Servers(self.cluster, self._where))
      if not self.leads:
        stack.callback(shutil.rmtree, self._spare, ignore_errors=True)
      output = self._train()
    self.progress.end_line()
    if self.leads:
      print(f'Done: {self.manager.latest_checkpoint}')
    return observers.to_floats(output or {})

  def _train(self):
    trainer_config = self.config.trainer
    controller = self._controller()
    self._report_start()
    if trainer_config.sample_pictures and self.leads:
      self._write_sheets(
        'train', self.task.input_sheets(trainer_config.sample_pictures)
      )
    if not self.eval_wanted:
      return controller.train(trainer_config.train_steps)
    output = controller.train_and_evaluate(
      train_steps=trainer_config.train_steps,
      eval_steps=trainer_config.validation_steps,
      eval_interval=trainer_config.validation_interval,
    )
    if output is None:  # the run had already ended
      output = controller.evaluate(trainer_config.validation_steps)
    return output

  def _make_watchdog(self):
    name, tasks = 'trainer', ('trainer',)
    if self.cluster:
      name = self.cluster.name
      tasks = sorted([name, *self.cluster.others()])
    seconds = self.config.trainer.stall_seconds
    return watchdog.Watchdog(self.model_dir, name, tasks, seconds)

  def _where(self):
    found = tf.train.latest_checkpoint(self.model_dir)
    when = f'after step {self._step}' if self._step else 'before the first step'
    return (
      f'This was {when}; started again, the tasks go on from '
      f'{found or "the beginning"}.'
    )

  def _on_step(self):
    self._step = int(self.trainer.global_step.numpy())
    self.progress()

  def _on_wait(self, what):
    self.watchdog.beat(self._step, what)

  def evaluate(self):
    """Evaluates the newest checkpoint, or each new one as it comes."""
    controller = self._controller()
    steps = self.config.trainer.validation_steps
    if self.options.mode == 'eval':
      return observers.to_floats(controller.evaluate(steps))
    output = controller.evaluate_continuously(
      steps, timeout=_POLL_SECONDS, timeout_fn=self._nothing_more_to_evaluate
    )
    return observers.to_floats(output or {})

  def _nothing_more_to_evaluate(self):
    self._waited += _POLL_SECONDS
    step = int(self.trainer.global_step.numpy())
    return (
      step >= self.config.trainer.train_steps
      or self._waited >= self.config.trainer.continuous_eval_timeout
    )

  def _report_start(self):
    self._step = int(self.trainer.global_step.numpy())
    self._point = (time.perf_counter(), self.trainer.data_wait, self._step)
    if self.resume:
      print(f'Resuming from {self.resume} at step {self._step}.')
    if self.trainer.worker_counts:
      optimizer = self.trainer.optimizer
      print(
        server_variables.table(
          [*self.trainer.model.variables, *optimizer.variables()]
        ),
        flush=True,
      )
    self.progress.restart()

  def _after_loop(self, output):
    if not self.trainer.worker_counts:
      self._add_work(output)
    observers.check_loss(
      self.trainer, self.model_dir, self.task.record_ids if self.leads else None
    )
    self._stop_if_told()
    if _is_last(self.trainer, self.config.trainer):
      self.progress.show(float(output['training_loss']))
    self._on_wait('saving')

  def _add_work(self, output):
    """Adds what each process did since the last point to the curves."""
    point = (time.perf_counter(), self.trainer.data_wait, self._step)
    elapsed, waited, steps = (b - a for a, b in zip(self._point, point))
    self._point = point
    waits = self.agreement.gather(waited)
    output['data_wait_seconds'] = sum(waits)
    if len(waits) == 1:
      return
    images = steps * self.trainer.batch_size / len(waits)
    rates = self.agreement.gather(images / elapsed)
    for worker, (seconds, rate) in enumerate(zip(waits, rates)):
      output[f'worker/{worker}/data_wait_seconds'] = seconds
      output[f'worker/{worker}/images_per_second'] = rate

  def _should_stop(self):
    """All processes of a cluster get the same answer at the same step."""
    if not self._stopping:
      self._stopping = self.agreement.any(self.signal())
    return self._stopping

  def _on_eval_step(self):
    if self.train_wanted:
      self._on_wait('evaluation')
    self._stop_if_told()
    if self._evaluating is None:
      self.progress.end_line()
      steps = self.config.trainer.validation_steps
      self._evaluating = observers.EvaluationProgress(
        steps if steps > 0 else self.task.validation_batches()
      )
    self._evaluating()

  def _stop_if_told(self):
    if self._should_stop():
      self.progress.end_line()
      self.trainer.use_weights()
      step = int(self.trainer.global_step.numpy())
      # None where the step was saved already.
      self.manager.save(checkpoint_number=step, check_interval=False)
      self.manager.sync()
      observers.stop(step, os.path.join(self.model_dir, f'ckpt-{step}'))

  def _after_evaluation(self, output):
    self._waited, self._evaluating = 0, None
    self.progress.end_line()
    metrics = observers.to_floats(output)
    step = int(self.trainer.global_step.numpy())
    split = self.config.task.validation_data.split
    observers.append_metrics(
      self.model_dir,
      step=step,
      examples_seen=int(self.trainer.position.numpy()),
      split=split,
      metrics=metrics,
    )
    shown = '  '.join(f'{k} {v:.4f}' for k, v in sorted(metrics.items()))
    print(f'step {step}  {split}: {shown}')
    sys.stdout.flush()
    pictures = self.config.trainer.sample_pictures
    if pictures:
      self._write_sheets(
        'validation', self.task.prediction_sheets(self.trainer.model, pictures)
      )
    self.trainer.use_weights()
    self.progress.restart()

  def _write_sheets(self, folder: str, sheets: Any):
    path = os.path.join(self.model_dir, folder)
    writer = tf.summary.create_file_writer(path)
    with writer.as_default(int(self.trainer.global_step.numpy())):
      for name, picture in sheets.items():
        tf.summary.image(name, picture[None])
    writer.close()


def _is_last(trainer, config):
  return int(trainer.global_step.numpy()) >= config.train_steps
