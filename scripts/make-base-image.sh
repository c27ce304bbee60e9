#!/usr/bin/env bash
# Builds a base image for the project's Dockerfile where no image registry can be reached (air-gapped sites, CI):
# Debian with a C compiler from an APT mirror, PyTorch and the project's dependencies through this machine's pip. See
# docs/air-gapped.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: make-base-image.sh [OPTIONS] NAME[:TAG]

Builds the image NAME[:TAG] from a Debian mirror and this machine's pip settings, then:
  gbench launch ... --from-image NAME[:TAG]

Options:
  --mirror URL    Debian mirror (default: the one in this machine's APT sources)
  --torch SPEC    PyTorch requirement, e.g. 'torch==2.14.1' (default: 2.7.1, as in the Dockerfile's base)
  --python PATH   this machine's Python with pip; its version decides the Debian release (default: python3)
  --force         build even if the image exists
  -h, --help      show this text

Needs root, debootstrap, a running Docker engine, and 7 GiB of disk both in $TMPDIR (default /var/tmp) and in
Docker's data folder. Takes three to five minutes, most of it copying PyTorch's CUDA libraries.
TEXT
}

die() { printf 'make-base-image.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*" >&2; }

mirror='' torch='' python=python3 force='' image=''
while (($#)); do
  case $1 in
    --mirror | --torch | --python)
      (($# > 1)) || die "$1 needs a value; see --help"
      declare "${1#--}=$2"
      shift
      ;;
    --force) force=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) die "there is no option $1; see --help" ;;
    *) [[ -z $image ]] || die "one image name is expected, got '$image' and '$1'"; image=$1 ;;
  esac
  shift
done
[[ -n $image ]] || { usage >&2; exit 2; }

# --- Requirements -----------------------------------------------------------------------------------------
command -v docker >/dev/null || die 'docker is not installed; install the docker.io package'
docker info >/dev/null 2>&1 || die 'the Docker engine does not answer; start it, or name it in DOCKER_HOST'
if [[ -z $force ]] && docker image inspect "$image" >/dev/null 2>&1; then
  say "$image exists; --force rebuilds it"
  exit 0
fi
[[ $EUID -eq 0 ]] || die 'debootstrap needs root; run this with sudo'
command -v debootstrap >/dev/null || die 'debootstrap is not installed; install the debootstrap package'
"$python" -m pip --version >/dev/null 2>&1 || die "$python has no pip; name another Python with --python"

# Wheels hold code for one minor version of Python, so the host's decides which Debian the image is.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
  3.11) suite=bookworm ;;
  3.13) suite=trixie ;;
  *) die "no Debian release has Python $version; name a Python 3.11 (bookworm) or 3.13 (trixie) with --python" ;;
esac

if [[ -z $mirror ]]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
    awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }') || true
  [[ -n $mirror ]] || die "this machine's APT sources do not have $suite; name a mirror with --mirror"
fi

need_mib=7168
tmp=${TMPDIR:-/var/tmp}
data=$(docker info --format '{{.DockerRootDir}}')
[[ -d $data ]] || data=$tmp
same_disk=$([[ $(stat -c %d "$tmp") == $(stat -c %d "$data") ]] && echo 2 || echo 1)
for folder in "$tmp" "$data"; do
  free_mib=$(df --output=avail -m "$folder" | tail -n 1 | tr -d " ")
  ((free_mib >= need_mib * same_disk)) ||
    die "$folder has $free_mib MiB free and $((need_mib * same_disk)) MiB are needed; free some, or set TMPDIR"
done

# --- Build --------------------------------------------------------------------------------------------------------
work=$(mktemp -d -p "$tmp" gbench-base.XXXXXX)
root=$work/root parts=()
clean_up() {
  for part in "${parts[@]}"; do kill -- "-$part" && wait "$part"; done 2>/dev/null || true
  umount -q -l "$root/proc" "$root/sys" 2>/dev/null || true # left mounted when debootstrap is killed
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

packages=ca-certificates,python3,python3-pip,gcc,g++,libc6-dev,python3-dev
project=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
mapfile -t requirements < <("$python" - "$project/pyproject.toml" "$torch" <<'PY'
import sys, tomllib

with open(sys.argv[1], "rb") as file:
    tables = tomllib.load(file)
project = tables["project"]
extra = project["optional-dependencies"]["upstream"]
dependencies = project["dependencies"]
if not sys.argv[2]:  # the oldest PyTorch of the range is the image's
    dependencies = [each.replace(">=", "==") if each.startswith(("torch>", "torchvision>")) else each for each in dependencies]
print(*tables["build-system"]["requires"], *dependencies, *extra, sep="\n")
PY
)
((${#requirements[@]})) || die "no dependencies could be read from $project/pyproject.toml"
# In the versions of the image's lock, of which the image then needs no other.
sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' "$project/scripts/image-requirements.txt" >"$work/versions.txt"
say "1/2 Debian $suite from $mirror; PyTorch and the project's dependencies through $python"
set -m # each part is a process group, which can be ended as a whole
(debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 </dev/null ||
  { tail -n 20 "$work/debootstrap.log" >&2; die 'debootstrap failed'; }) &
parts+=($!)
# pip also checks the host's packages and complains about them; its output matters only if it fails.
("$python" -m pip install --root-user-action=ignore --target "$work/packages" --constraint "$work/versions.txt" \
  "${requirements[@]}" ${torch:+"$torch"} >"$work/pip.log" 2>&1 </dev/null ||
  { tail -n 20 "$work/pip.log" >&2; die 'pip could not install the dependencies'; }) &
parts+=($!)
set +m
for _ in "${parts[@]}"; do wait -n || exit 1; done # as soon as one fails
parts=()
[[ $(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') == "$version" ]] ||
  die "$suite on this mirror does not have Python $version; name another Python with --python"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
# A site with its own certificate authority (a proxy, an internal mirror) is trusted inside, too.
if [[ -e /etc/ssl/certs/ca-certificates.crt ]]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
mv "$work/packages"/* "$root/usr/local/lib/python$version/dist-packages/"

say "2/2 Importing into Docker as $image"
tar --numeric-owner --one-file-system -C "$root" -c . |
  docker import --change 'CMD ["bash"]' --message "gbench base: Debian $suite, Python $version" - "$image" >/dev/null ||
  die 'docker import failed (its message is above)'
chroot "$root" python3 -c 'import torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__)' >&2
