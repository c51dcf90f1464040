#!/usr/bin/env bash
# Installs what ffzero needs from the distribution (Debian 12 or later, Ubuntu 24.04 or later), and only what is missing.
#   tools/install_deps.sh          to build and run it
#   tools/install_deps.sh --python and to run devices that are Python programs
#   tools/install_deps.sh --package and to build the Python package (import ffzero)
#   tools/install_deps.sh --mpi    and to train one run on several machines (Open MPI)
#   tools/install_deps.sh --watch  and to show runs in a browser (ffzero watch)
#   tools/install_deps.sh --onnx   and to write trained networks as ONNX (ffzero export --format onnx), and to read them again in a test
#   tools/install_deps.sh --test   and to test it
#   tools/install_deps.sh --lint   and for everything that .ci/run checks
#   tools/install_deps.sh --list   print the packages of the chosen set instead of installing them
# Nothing is downloaded, asked or changed when nothing is missing. FFZERO_SKIP_INSTALL=1 skips the step (other distributions).
# SPDX-License-Identifier: MIT
set -euo pipefail

# One line a need; alternatives that serve as well are separated by | (the first one is what gets installed).
build_packages=(
  g++ cmake ninja-build pkgconf
  libeigen3-dev "libopenblas-dev|libopenblas-pthread-dev" libhwy-dev librandom123-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev
  zlib1g-dev libdeflate-dev libpng-dev libssl-dev "libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev" ca-certificates
  "gnuplot-nox|gnuplot-qt|gnuplot-x11"
)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev python3)
package_packages=(python3 python3-dev python3-numpy pybind11-dev)
mpi_packages=("libopenmpi-dev|libmpich-dev" "openmpi-bin|mpich")
watch_packages=(libcpp-httplib-dev)
onnx_packages=(libonnx-dev libprotobuf-dev python3-opencv)
lint_packages=(clang-16 libclang-rt-16-dev clang-tidy-16 clang-format-16 ccache git mypy)

wanted=("${build_packages[@]}")
list_only=no
for argument in "$@"; do
  case "$argument" in
    --python) wanted+=(python3) ;;
    --package) wanted+=("${package_packages[@]}") ;;
    --mpi) wanted+=("${mpi_packages[@]}") ;;
    --watch) wanted+=("${watch_packages[@]}") ;;
    --onnx) wanted+=("${onnx_packages[@]}") ;;
    --test) wanted+=("${test_packages[@]}") ;;
    --lint) wanted+=("${test_packages[@]}" "${lint_packages[@]}") ;;
    --list) list_only=yes ;;
    *) echo "install_deps.sh: --python, --package, --mpi, --watch, --onnx, --test, --lint or --list; got $argument" >&2; exit 2 ;;
  esac
done
if [ $list_only = yes ]; then printf '%s\n' "${wanted[@]%%|*}"; exit 0; fi
if [ "${FFZERO_SKIP_INSTALL:-0}" = 1 ]; then exit 0; fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

any_installed() {
  local package
  for package in ${1//|/ }; do
    if installed "$package"; then return 0; fi
  done
  return 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install_deps.sh: this is neither Debian nor Ubuntu; install the equivalents of these yourself, then set FFZERO_SKIP_INSTALL=1:" >&2
  printf '  %s\n' "${wanted[@]%%|*}" >&2
  exit 1
fi

missing=()
for need in "${wanted[@]}"; do any_installed "$need" || missing+=("${need%%|*}"); done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_deps.sh: packages are missing and neither root nor sudo is at hand; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing from the distribution: ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "install_deps.sh: apt-get could not install ${missing[*]}; check the network and that the whole distribution is enabled" \
       "(Ubuntu: the component 'universe')" >&2
  exit 1
fi
echo "Installed ${#missing[@]} packages and what they need."
