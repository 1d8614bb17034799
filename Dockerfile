# The training binaries, for cluster.render's jobs:
#
#   docker build --tag=unreasonable-data:0.1.0 .
#   docker build --tag=unreasonable-data:0.1.0-gpu --build-arg=GPU=1 .
#   docker run unreasonable-data:0.1.0 official_repro.train --experiment=list
#
# GPU=1 adds the CUDA libraries that TensorFlow 2.15 wants (about 3 GB); the
# driver and NVIDIA's container toolkit have to be on the node.

FROM python:3.11-slim

ARG GPU=

# tini: Python as process 1 would not see a SIGTERM that it has no handler for.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid=1000 --create-home trainer

WORKDIR /app
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# Before the code, so that a change of it does not install everything again.
COPY requirements.lock ./
RUN pip install --no-deps -r requirements.lock
RUN if [ -n "$GPU" ]; then \
      pip install 'tensorflow[and-cuda]' --constraint=requirements.lock; \
    fi

COPY LICENSE pyproject.toml README.md ./
COPY official_repro official_repro
COPY object_detection object_detection
COPY deeplab deeplab
COPY pose pose
COPY cluster cluster

# By number, so that Kubernetes can see that it is not root.
USER 1000
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["official_repro.train", "--experiment=list"]
