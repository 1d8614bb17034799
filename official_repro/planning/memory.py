"""What one training step takes on the GPU, roughly; bytes.

per image   activations that wait for the backward pass (layers.Unit), and two
            gradients of the largest output
fixed       weights, their gradients, optimizer slots where they are on the GPU,
            and a workspace
"""

import dataclasses

from official_repro.planning import machines
from official_repro.planning.layers import Network

# Of the nominal memory; the rest is taken by error correction and the driver.
USABLE_MEMORY = 0.93
# For CUDA's context and the workspaces of convolutions: assumed.
WORKSPACE_BYTES = 512 << 20
_VALUE_BYTES = {'float32': 4, 'mixed_float16': 2}


@dataclasses.dataclass(frozen=True)
class Memory:
  """What a step takes on the GPU; bytes.

  Attributes:
    activations: outputs that wait for the backward pass, per image.
    in_flight: two gradients of the largest output, per image.
    fixed: weights, gradients, slots where they are here, and workspace.
    usable: of the GPU.
  """

  activations: int
  in_flight: int
  fixed: int
  usable: float

  @property
  def largest_batch(self) -> int:
    """That fits, by this count; 0 where none does."""
    left = self.usable - self.fixed
    return max(0, int(left // (self.activations + self.in_flight)))

  def needed(self, batch: int) -> int:
    """Returns the bytes of a step."""
    return batch * (self.activations + self.in_flight) + self.fixed


def memory_of(
  network: Network, gpu: machines.Gpu, precision: str, slots: int
) -> Memory:
  """Returns the memory of a step, roughly.

  Args:
    network: the network.
    gpu: the GPU.
    precision: mixed_float16 keeps activations, and a copy of the weights, in
      two bytes.
    slots: of the optimizer that lie on the GPU: 0 with parameter servers.
  """
  value = _VALUE_BYTES[precision]
  variables = network.variables()
  weights = sum(v.bytes for v in variables)
  trained = sum(v.bytes for v in variables if v.trained)
  copies = weights // 2 if precision == 'mixed_float16' else 0
  return Memory(
    activations=network.kept_values() * value,
    in_flight=2 * network.largest_values() * value,
    fixed=weights + copies + trained * (1 + slots) + WORKSPACE_BYTES,
    usable=gpu.memory_gb * 2**30 * USABLE_MEMORY,
  )
