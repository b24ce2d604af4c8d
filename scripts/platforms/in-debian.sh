#!/bin/sh
# Runs a command in a Debian that is a folder. The caller has unshared the mounts: they end with the command.
#   in-debian.sh DEBIAN FOLDER... -- COMMAND...
# Each folder of this system has the same path there.
set -e
debian=$1
shift
mount -t proc proc "$debian/proc"
while [ "$1" != -- ]; do
  mkdir -p "$debian$1"
  mount --bind "$1" "$debian$1"
  # Nothing may install the packages of another platform.
  case $1 in */node_modules) mount -o remount,bind,ro "$debian$1" ;; esac
  shift
done
shift
exec chroot "$debian" "$@"
