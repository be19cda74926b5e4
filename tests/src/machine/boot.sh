#!/bin/sh
# Becomes the first process of a machine: a copy of this one's files that can be
# written to and is gone with it. Runs as process 1 of new namespaces.
#
#   boot.sh BASE INIT [LOWER]
#
# BASE is an empty folder, INIT is systemd or nothing, LOWER holds further files
# that the machine shall have.
set -eu

base=$1 init=$2 lower=${3:-}

# Nothing that is mounted here reaches the real machine.
mount --make-rprivate /
mount -t tmpfs -o size=1g tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
# One layer must not lie within another.
[ -z "$lower" ] || {
  cp -a "$lower" "$base/lower"
  lower=$base/lower
}
mount -t overlay overlay \
  -o "lowerdir=${lower:+$lower:}/,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp

# What would touch the kernel that all machines share, or start the engines that
# the tests start by themselves.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-remount-fs.service \
  proc-sys-fs-binfmt_misc.automount docker.service docker.socket containerd.service; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done

# What a layer brought is there from the start.
[ ! -d etc/runlevels ] || chmod 755 etc/runlevels etc/runlevels/default

: >run/booted
case $init in
  systemd) set -- /lib/systemd/systemd --system --unit=basic.target ;;
  *)
    # A first process has to bury what others leave.
    # shellcheck disable=SC2016 # for that shell, not this one
    set -- bash -c 'while :; do sleep 1 & wait $!; done'
    ;;
esac
exec env -i container=docker PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot . "$@"
