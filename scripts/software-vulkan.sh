#!/usr/bin/env bash
# Runs a command with a GPU in software, for tests of WebGPU on machines without one: scripts/software-vulkan.sh COMMAND...
#
# WebGPU needs a newer Vulkan driver than Debian 12 has. Mesa's lavapipe (from version 24 on) is taken from the machine's
# own package sources, or from their backports; where neither has it, SwiftShader out of Debian's Chromium, which is nine
# times as slow. Packages are unpacked into a cache folder, nothing is installed, and root is not needed. A driver that
# VK_ICD_FILENAMES or VK_DRIVER_FILES name is used as it is. When no driver can be had, the command still runs, with
# the reason in FLOWSTEP_NO_VULKAN.
set -euo pipefail

folder="${FLOWSTEP_VULKAN:-${XDG_CACHE_HOME:-$HOME/.cache}/flowstep/vulkan}"
work="$folder.new"

say() { printf 'software-vulkan: %s\n' "$1" >&2; }

# apt with this machine's configuration, but lists, cache and sources of its own: those of the system stay as they are.
apt() {
  apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" "$@"
}

# The machine's own sources of its release, in apt's one-line form, and with "backports" those of the backports.
sources() { # [SUFFIX]
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg options=''
  [ "$ID" = debian ] && [ -f "$keyring" ] && options="[signed-by=$keyring] "
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    while read -r uri release component; do
      if [ -n "${1:-}" ]; then
        [ "$release" != "$VERSION_CODENAME" ] || echo "deb $options$uri $release$1 $component"
      else
        case "$release" in
          *-backports | *-proposed*) ;;
          "$VERSION_CODENAME"*) echo "deb $options$uri $release $component" ;;
        esac
      fi
    done
}

# Downloads packages with what they need that the machine lacks, and unpacks all of it. A package may be NAME/RELEASE.
unpack() {
  mkdir -p "$work/cache/archives/partial" "$work/root"
  apt --no-install-recommends --download-only --reinstall -y install "$@" >&2
  local package
  for package in "$work"/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
}

# The driver's description with the path that the library has in the cache folder.
describe() { # JSON LIBRARY
  sed "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$folder/root/$2\"#" "$work/root/$1" >"$work/driver.json"
}

# The newest major version of Mesa in the sources, or in their suite with this end; 0 = none.
major_of() { # [SUFFIX]
  apt-cache -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" madison mesa-vulkan-drivers |
    awk -v suffix="${1:-}" -F'|' '{ gsub(/ /, "", $2); if (suffix == "" || index($3, suffix)) print $2 } END { print 0 }' |
    sed 's/^[0-9]*://; s/[^0-9].*//' | sort -n | tail -1
}

fetch_lavapipe() {
  local library release=''
  sources >"$work/sources.list"
  apt update >&2 || return 1
  if [ "$(major_of)" -lt 24 ]; then
    sources -backports >>"$work/sources.list"
    apt update >&2 || return 1
    [ "$(major_of -backports)" -ge 24 ] || return 1
    release="/$VERSION_CODENAME-backports"
  fi
  unpack libvulkan1 "mesa-vulkan-drivers$release" || return 1
  library=$(cd "$work/root" && find usr/lib -name 'libvulkan_lvp.so' | head -1)
  describe "$(cd "$work/root" && find usr/share/vulkan -name 'lvp_icd*.json' | head -1)" "$library"
}

fetch_swiftshader() {
  sources >"$work/sources.list"
  apt update >&2 || return 1
  unpack libvulkan1 chromium-common || return 1
  describe usr/lib/chromium/vk_swiftshader_icd.json usr/lib/chromium/libvk_swiftshader.so
}

fetch() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    reason='the software driver comes from Debian packages, and there is no apt-get here'
    return
  fi
  # shellcheck disable=SC1091
  . /etc/os-release
  local way
  for way in lavapipe swiftshader; do
    rm -rf "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    if "fetch_$way"; then
      rm -rf "$work/cache" "$work/lists" "$folder"
      mv "$work" "$folder"
      say "$way is in $folder"
      return
    fi
    say "no $way from this machine's package sources"
  done
  rm -rf "$work"
  reason='neither lavapipe nor SwiftShader could be had from the package sources of this machine'
}

if [ -z "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ]; then
  reason=''
  [ -f "$folder/driver.json" ] || fetch
  if [ -n "$reason" ]; then
    say "$reason"
    export FLOWSTEP_NO_VULKAN="$reason"
  else
    libraries=$(find "$folder/root" -type f -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    export VK_ICD_FILENAMES="$folder/driver.json"
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    # Mesa asks for it, and headless machines have none.
    export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$folder}"
  fi
fi
[ $# -eq 0 ] || exec "$@"
