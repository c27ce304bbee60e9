# The image of a run: a PyTorch base, and this project installed into it.
#
# The default base covers V100 (sm_70) to H100 (sm_90); PyTorch's builds for later CUDA versions need not hold V100 code.
# Pin it by digest with --build-arg FROM_IMAGE_NAME=pytorch/pytorch@sha256:... (in gbench: --from-image); where no registry
# can be reached see docs/air-gapped.md.
ARG FROM_IMAGE_NAME=pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime
FROM ${FROM_IMAGE_NAME}

# torch.compile and Triton call a C compiler in the run; they need Python's headers, which a Debian Python has apart.
RUN command -v gcc > /dev/null && command -v g++ > /dev/null && python3 -c 'import pathlib, sysconfig; \
      exit(not (pathlib.Path(sysconfig.get_path("include", "posix_prefix")) / "Python.h").exists())' \
 || (packages='gcc g++ libc6-dev'; [ "$(command -v python3)" != /usr/bin/python3 ] || packages="$packages python3-dev" \
 && apt-get update && apt-get install --yes --no-install-recommends $packages && rm -rf /var/lib/apt/lists/*)

WORKDIR /opt/gbench
COPY pyproject.toml README.md LICENSE Dockerfile ./
COPY cndb/demo cndb/demo
COPY configs configs
COPY scripts scripts
COPY src src

# PyTorch is what is measured, so the base's own stays: the lock has all other packages, and pip asks no index when none
# is missing. PIP_BREAK_SYSTEM_PACKAGES: a Debian Python belongs to its distribution (PEP 668), here it is all ours.
RUN export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
 && python3 -m pip install --quiet --no-deps --require-hashes --requirement scripts/image-requirements.txt \
 && python3 -m pip install --quiet --no-deps --no-build-isolation . \
 && python3 -c 'import torch, torchvision'

# Any user may run it: what would be written beside the run folder goes to /tmp, and PyTorch's look-up of a user name
# finds one for a uid that the image does not know.
ENV HOME=/tmp USER=gbench LOGNAME=gbench
WORKDIR /tmp
