# ncipher for the CPU, as a user without rights. How to build and use it: docs/install.md.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# The index of CPU builds that PyTorch names. Without it torch would bring several gigabytes of CUDA.
ARG TORCH_CPU_INDEX
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/dev.lock.txt requirements/
# The versions of the lock, without the digests: of a constraint that has one, pip would ask one of everything.
RUN sed -nE 's/^([a-z0-9.-]+==[^ ]+( ; .+)?) \\$/\1/p' requirements/dev.lock.txt > pins.txt \
 && python3 -m venv /opt/ncipher
COPY LICENSE MANIFEST.in README.md pyproject.toml ./
COPY packaging/man packaging/man
COPY neuralcipher neuralcipher
RUN test -n "$TORCH_CPU_INDEX" || { echo "pass --build-arg TORCH_CPU_INDEX=..., see docs/install.md" >&2; exit 1; } \
 && PIP_EXTRA_INDEX_URL="$TORCH_CPU_INDEX" /opt/ncipher/bin/python -m pip install -c pins.txt . \
 && /opt/ncipher/bin/python -m pip uninstall --yes pip \
 && rm -rf /opt/ncipher/lib/python*/site-packages/torch/include /opt/ncipher/lib/python*/site-packages/torch/test

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="neuralcipher" \
      org.opencontainers.image.description="Seal a video into small neural networks that only a key holder can play" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ncipher /opt/ncipher
RUN useradd --uid 10001 --user-group --no-create-home --no-log-init --shell /usr/sbin/nologin ncipher \
 && install -d -o ncipher -g ncipher /work
ENV PATH=/opt/ncipher/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /work
ENTRYPOINT ["ncipher"]
CMD ["--help"]
