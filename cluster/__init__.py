"""From one small description of a job to what a cluster runs."""
