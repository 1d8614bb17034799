"""All shape functions: kind -> function(rng) -> list of Part."""

from official_repro.data.mini import (
  shapes_animals,
  shapes_household,
  shapes_things,
  shapes_vehicles,
)

SHAPES = {
  **shapes_animals.SHAPES,
  **shapes_vehicles.SHAPES,
  **shapes_things.SHAPES,
  **shapes_household.SHAPES,
}
